"""The connection to a Milvus server or an embedded milvus-lite file, and the shape of our collections there. Knows no items.

Every collection has the consistency level Strong: a search that starts after a write was acknowledged, by whichever client, sees it.
One that pymilvus or the server refuses is StorageFailed, with the call and the server's own words.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from re import sub
from typing import Any, Final
from urllib.parse import urlsplit

from grpc import RpcError  # type: ignore[import-untyped]
from pymilvus import DataType, MilvusClient, MilvusException  # type: ignore[import-untyped]

from retriever.backends.milvus.expressions import id_in
from retriever.errors import SpaceInvalid, StorageFailed

Row = dict[str, Any]
"""A row as it is sent and comes back: field name -> value."""

KINDS: Final[Mapping[str, tuple[str, Mapping[str, int], str | None]]] = {
    "flat": ("FLAT", {}, None),
    "hnsw": ("HNSW", {"M": 16, "efConstruction": 200}, "ef"),
    "hnsw-sq8": ("HNSW_SQ", {"M": 16, "efConstruction": 200}, "ef"),
    "ivf-sq8": ("IVF_SQ8", {"nlist": 1024}, "nprobe"),
}
"""Kind -> Milvus' index type, how it is built, and the search parameter that `effort` sets."""
EFFORT: Final = {"ef": 128, "nprobe": 64}
MAX_EFFORT: Final = {"ef": 32_768, "nprobe": 1024}
MAX_VARCHAR: Final = 65_535
"""Bytes in a VARCHAR, Milvus' limit."""
MAX_TERMS: Final = 4_096
"""Elements in an ARRAY, Milvus' limit."""
MAX_TOP: Final = 16_384
"""Hits for one query, Milvus' limit."""
MAX_DIMENSION: Final = 32_768
NO_ALIAS: Final = (1600, 100)
"""How a server and milvus-lite say that there is no such alias."""
TERM_BYTES: Final = 32
BATCH: Final = 1_000
"""Rows in a call: of vectors of 1,024 dimensions under 5 MB."""
KEY_BYTES: Final = 2_048
"""Of an item's id; 128 characters of four bytes fit well."""
WITHOUT_PINGS: Final = {"grpc.keepalive_time_ms": 2**31 - 1}
"""Of pymilvus' gRPC to an embedded server, which hangs up on a client whose pings come faster than its answers, as on a busy machine."""


class Server:
    """Calls on the collections of one prefix. Safe for many threads, as pymilvus' client is."""

    def __init__(self, url: str, prefix: str, timeout_s: float) -> None:
        # pymilvus logs every refusal with its traceback; what it raises is told to the caller already
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.prefix, self._timeout_s = prefix, timeout_s
        self._embedded = not urlsplit(url).scheme
        if self._embedded:
            # milvus-lite serves from this process, and logs a traceback for each call that it does not know
            logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
        with explained("connect"):
            self._client = MilvusClient(url, timeout=timeout_s, grpc_options=WITHOUT_PINGS if self._embedded else {})

    def close(self) -> None:
        with explained("close"):
            self._client.close()

    def named(self, name: str) -> str:
        """The collection or alias for `name`, which may have any characters; two names never share one."""
        return f"{self.prefix}_{sub('[^A-Za-z0-9_]', '_', name)[:64]}_{blake2b(name.encode(), digest_size=5).hexdigest()}"

    def exists(self, collection: str) -> bool:
        with explained("has_collection"):
            return bool(self._client.has_collection(collection, timeout=self._timeout_s))

    def create(self, collection: str, fields: Sequence[tuple[str, str]], dimension: int, kind: str) -> None:
        """With a key `id`, a `vector` and the `fields` (name, one of: text, json, terms, words), which may not be there yet."""
        if kind not in KINDS:
            raise SpaceInvalid(f"There is no kind {kind!r} on Milvus; take one of {', '.join(KINDS)}.")
        if not 2 <= dimension <= MAX_DIMENSION:
            raise SpaceInvalid(f"The dimension {dimension} is not one that Milvus holds; it must be 2 to {MAX_DIMENSION}.")
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=KEY_BYTES)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        for name, form in fields:
            _add(schema, name, form)
        index_type, built, _ = KINDS[kind]
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type=index_type, metric_type="IP", params=dict(built))
        if ("terms", "terms") in fields and not self._embedded:  # milvus-lite indexes no arrays
            index.add_index("terms", index_type="INVERTED")
        if ("words", "words") in fields and not self._embedded:  # nor has it n-grams
            index.add_index("words", index_type="NGRAM", params={"min_gram": 2, "max_gram": 3})
        with explained("create_collection"):
            self._client.create_collection(collection, schema=schema, consistency_level="Strong", timeout=self._timeout_s)
            # not waited for: the index of an empty collection is there at once, and loading waits for it
            self._client.create_index(collection, index, timeout=self._timeout_s, sync=False)
            self._client.load_collection(collection, timeout=self._timeout_s)

    def ready(self, collection: str, fields: Sequence[tuple[str, str]], dimension: int, kind: str) -> None:
        """There, created if need be, and searchable."""
        if self.exists(collection):
            self.load(collection)
        else:
            self.create(collection, fields, dimension, kind)

    def load(self, collection: str) -> None:
        """Makes it searchable: a server remembers that, milvus-lite forgets it when its process ends."""
        with explained("load_collection"):
            self._client.load_collection(collection, timeout=self._timeout_s)

    def drop(self, collection: str) -> None:
        with explained("drop_collection"):
            self._client.drop_collection(collection, timeout=self._timeout_s)

    def compact(self, collection: str) -> None:
        """Waits until what is in memory is sealed; the merging goes on behind it."""
        with explained("flush"):
            self._client.flush(collection, timeout=self._timeout_s)
        with explained("compact"):
            self._client.compact(collection, timeout=self._timeout_s)

    def point(self, alias: str, collection: str) -> None:
        """Makes `alias` stand for `collection`, in one step when it stands for another one now."""
        with explained("alter_alias"):
            aliased = self.aliased(alias)
            (self._client.alter_alias if aliased else self._client.create_alias)(collection, alias, timeout=self._timeout_s)

    def aliased(self, alias: str) -> str | None:
        """The collection that `alias` stands for; None when there is no such alias."""
        try:
            return str(self._client.describe_alias(alias, timeout=self._timeout_s)["collection_name"])
        except MilvusException as error:
            if error.code in NO_ALIAS:
                return None
            raise StorageFailed(_words("describe_alias", error)) from error

    def upsert(self, collection: str, rows: Sequence[Row], *, partial: bool = False, size: int = BATCH) -> None:
        """Adds or replaces whole rows, `size` in a call; `partial` changes only the named fields of rows that must be there."""
        for batch in batches(rows, size):
            with explained("upsert"):
                self._client.upsert(collection, batch, partial_update=partial, timeout=self._timeout_s)

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        for batch in batches(ids):
            self.delete_where(collection, id_in(batch))

    def delete_where(self, collection: str, where: str) -> None:
        with explained("delete"):
            self._client.delete(collection, filter=where, timeout=self._timeout_s)

    def get(self, collection: str, ids: Sequence[str], fields: Sequence[str], *, size: int = BATCH) -> dict[str, Row]:
        """The rows of those `ids` that are there, `size` asked for in a call."""
        found: dict[str, Row] = {}
        for batch in batches(ids, size):
            found |= {row["id"]: row for row in self.some(collection, id_in(batch), fields, len(batch))}
        return found

    def some(self, collection: str, where: str, fields: Sequence[str], most: int) -> list[Row]:
        """The rows that `where` holds for; where they are more than `most` <= MAX_TOP, any of them."""
        with explained("query"):
            rows = self._client.query(collection, filter=where, output_fields=["id", *fields], limit=most, timeout=self._timeout_s)
        return [dict(row) for row in rows]

    def count(self, collection: str, where: str = "") -> int:
        with explained("query"):
            rows = self._client.query(collection, filter=where, output_fields=["count(*)"], timeout=self._timeout_s)
        return int(rows[0]["count(*)"])

    def pages(self, collection: str, where: str, fields: Sequence[str], size: int) -> Iterator[list[Row]]:
        """All rows that `where` holds for, in the order of their ids (by code point), in pages."""
        with explained("query_iterator"):
            pages = self._client.query_iterator(
                collection, batch_size=size, filter=where, output_fields=["id", *fields], timeout=self._timeout_s
            )
        try:
            while page := _next(pages.next):
                yield page
        finally:
            pages.close()

    def search(self, collection: str, queries: Sequence[Sequence[float]], n: int, where: str, params: Mapping[str, int]) -> list[list[Row]]:
        """For each query the at most `n` <= MAX_TOP nearest rows as {"id", "distance"}, the largest inner product first."""
        with explained("search"):
            found = self._client.search(
                collection,
                data=queries,
                limit=n,
                filter=where,
                output_fields=["id"],
                search_params={"params": dict(params)},
                timeout=self._timeout_s,
            )
        return [[{"id": hit["id"], "distance": hit["distance"]} for hit in hits] for hits in found]


def batches(rows: Sequence[Any], size: int = BATCH) -> Iterator[list[Any]]:
    """`rows` in lists of at most `size`."""
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


@contextmanager
def explained(call: str) -> Iterator[None]:
    """Raises StorageFailed for whatever Milvus refuses or does not answer."""
    try:
        yield
    except (MilvusException, RpcError) as error:
        raise StorageFailed(_words(call, error)) from error


def _next(call: Callable[[], list[Row]]) -> list[Row]:
    with explained("query_iterator"):
        return call()


def _words(call: str, error: Exception) -> str:
    said = str(getattr(error, "message", error))[:500]
    return f"Milvus did not do {call}: {said} Nothing was acknowledged; check the server and send the request again."


def _add(schema: Any, name: str, form: str) -> None:
    if form == "terms":
        schema.add_field(name, DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=MAX_TERMS, max_length=TERM_BYTES)
    elif form == "json":
        schema.add_field(name, DataType.JSON)
    else:
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_VARCHAR)
