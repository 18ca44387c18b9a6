"""Searches of a large table beside LanceDB's own, faiss and usearch: time, recall, size.

    python -m benchmarks.search FOLDER [ROWS] [faiss-ivf-pq] [faiss-hnsw] [usearch]

Makes a table of so many rows (200,000) in FOLDER, with vectors of D = 768 in float16, and indexes it as `siglane index`
does. What is built stays in FOLDER for another run. The vectors lie in clusters of unequal sizes on few dimensions, as
those of images do, and texts lie apart from all images. Ours and LanceDB's own search take turns, query by query, with
the same index, partitions and candidates. faiss and usearch, if they are named, hold all vectors in memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lance
import lancedb
import numpy as np
import pyarrow as pa

from pipeline import indexing, schema, search, table
from pipeline.schema import Identity
from pipeline.table import Committer, TableUri

DIMENSION, LATENT, CLUSTERS = 768, 128, 5_000
ROWS_PER_FRAGMENT = 65_536
QUERIES, WARM, K = 200, 20, 10
EXACT_QUERIES = 5
COLUMNS = ["uid", "key", "caption", "source"]
Floats = np.ndarray[Any, np.dtype[np.float32]]


class World:
    """Where the vectors of images and texts come from."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.spectrum = (1 + np.arange(LATENT)) ** -0.5
        self.spectrum /= np.linalg.norm(self.spectrum)
        tops = random.normal(size=(100, LATENT))
        self.centres = 0.7 * tops[random.integers(0, 100, CLUSTERS)] + 0.7 * random.normal(size=(CLUSTERS, LATENT))
        sizes = (1.0 + np.arange(CLUSTERS)) ** -0.7
        self.shares = sizes / sizes.sum()
        self.basis = np.linalg.qr(random.normal(size=(DIMENSION, LATENT + 2)))[0].T

    def draw(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors of images and of their captions, float16 [N, D] each."""
        which = random.choice(CLUSTERS, count, p=self.shares)
        content = (0.8 * self.centres[which] + 0.6 * random.normal(size=(count, LATENT))) * self.spectrum
        told = 0.7 * content + 0.56 * random.normal(size=content.shape) * self.spectrum
        return self._vectors(random, content, 0), self._vectors(random, told, 1)

    def _vectors(self, random: np.random.Generator, content: np.ndarray, kind: int) -> np.ndarray:
        noise = 0.5 * random.normal(size=(len(content), DIMENSION)) / np.sqrt(DIMENSION)
        vectors = 0.9 * self.basis[LATENT + kind] + content @ self.basis[:LATENT] + noise
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def main(folder: str, rows: str = "200000", *in_memory: str) -> None:
    count, world = int(rows), World()
    uri = table.parse(str(Path(folder) / f"vectors{count}"))
    if not table.exists(uri):
        _make(uri, world, count)
    built = _indexed(uri)
    images, texts = (vectors.astype(np.float32) for vectors in world.draw(np.random.default_rng(2), QUERIES))
    found = {
        "rows": count,
        "index": built,
        "by kind of query": {
            kind: _compared(uri, kind, queries) for kind, queries in (("image", images), ("text", texts))
        },
        "exact": _exact(uri, texts),
        "many": _many(uri, texts),
        "in memory, text queries": list(_in_memory(uri, texts, in_memory)),
        "peak memory GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    print(json.dumps(found, indent=1))


def _make(uri: TableUri, world: World, count: int) -> None:
    identity = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", DIMENSION, "a-model", 100.0, -10.0)
    columns, random, staged = schema.table_schema(identity), np.random.default_rng(1), []
    for start in range(0, count, ROWS_PER_FRAGMENT):
        numbers = range(start, min(count, start + ROWS_PER_FRAGMENT))
        images, texts = world.draw(random, len(numbers))
        values = {
            schema.UID: [f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}" for number in numbers],
            schema.KEY: [str(number) for number in numbers],
            schema.SOURCE: ["a.tar"] * len(numbers),
            schema.SOURCE_VERSION: ["1"] * len(numbers),
            schema.SOURCE_ROW: list(numbers),
            schema.CAPTION: [f"a caption of photo {number} with some words" for number in numbers],
            schema.IMAGE_SHA256: [f"{number:064x}" for number in numbers],
            schema.STATUS: [schema.SUCCESS] * len(numbers),
            schema.IMAGE_VECTOR: pa.FixedSizeListArray.from_arrays(pa.array(images.ravel()), DIMENSION),
            schema.TEXT_VECTOR: pa.FixedSizeListArray.from_arrays(pa.array(texts.ravel()), DIMENSION),
        }
        nulls = {field.name: pa.nulls(len(numbers), field.type) for field in columns if field.name not in values}
        part = pa.table({name: (values | nulls)[name] for name in columns.names}, schema=columns)
        staged.append(table.stage(uri, part))
    Committer(uri, columns, None).commit(staged)


def _indexed(uri: TableUri) -> dict[str, Any]:
    """What `siglane index` has found, and how long it took if it was done now."""
    start, cpu = time.perf_counter(), time.process_time()
    (done, *_) = indexing.index_table(uri, indexing.DEFAULT_RECALL, None, ("uid",))
    assert isinstance(done, indexing.OnVectors)
    spent = {"seconds": time.perf_counter() - start, "CPU seconds": time.process_time() - cpu}
    opened = table.open_table(uri)
    index, asked = table.vector_index(opened, schema.IMAGE_VECTOR), done.record.asked
    return {
        "kind": done.record.kind,
        "why": done.record.why,
        "measured": {f"{kind}, {hits}": vars(how) for kind, by in asked.items() for hits, how in by.items()},
        "bytes a row": None if index is None else round(index.size / opened.count(), 1),
        **(spent if done.done == "built" else {}),
    }


def _compared(uri: TableUri, kind: Any, queries: Floats) -> dict[str, Any]:
    """Ours and LanceDB's own call, with the same partitions and candidates."""
    ours, theirs = search.open(str(uri)), lancedb.connect(uri.database).open_table(uri.name)
    truth = _truth(uri, queries)
    record = table.read_index_records(table.open_table(uri))[schema.IMAGE_VECTOR]
    how = record.asked[kind][K] if record.kind else None

    def lancedb_s(query: Floats) -> list[str]:
        asked = (
            theirs.search(query, vector_column_name=schema.IMAGE_VECTOR).distance_type("dot").select(COLUMNS).limit(K)
        )
        if how is not None:
            asked = asked.nprobes(how.probes).refine_factor(how.refine)
        return [row["uid"] for row in asked.to_list()]

    def by_ours(query: Floats) -> list[str]:
        return [hit.uid for hit in ours.by(search.vector(query, kind), K)]

    timed = _in_turns({"ours": by_ours, "lancedb": lancedb_s}, queries, truth)
    timed["ours / lancedb"] = {name: timed["ours"][name] / timed["lancedb"][name] for name in ("p50 ms", "p99 ms")}
    return timed


def _in_turns(searches: dict[str, Callable[[Floats], list[str]]], queries: Floats, truth: list[list[str]]) -> Any:
    for query in queries[:WARM]:
        for call in searches.values():
            call(query)
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    found: dict[str, list[list[str]]] = {name: [] for name in searches}
    for number, query in enumerate(queries):
        names = list(searches) if number % 2 else list(searches)[::-1]
        for name in names:
            start = time.perf_counter()
            hits = searches[name](query)
            seconds[name].append(time.perf_counter() - start)
            found[name].append(hits)
    return {name: _summary(seconds[name], found[name], truth) for name in searches}


def _summary(seconds: list[float], found: list[list[str]], truth: list[list[str]]) -> dict[str, float]:
    recall = np.mean([len(set(near) & set(true)) / K for near, true in zip(found, truth, strict=True)])
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {"recall@10": round(float(recall), 4), "p50 ms": round(p50, 2), "p99 ms": round(p99, 2)}


def _truth(uri: TableUri, queries: Floats) -> list[list[str]]:
    hits = search.open(str(uri)).many([search.vector(query) for query in queries], K, exact=True)
    return [[hit.uid for hit in each] for each in hits]


def _exact(uri: TableUri, queries: Floats) -> dict[str, Any]:
    ours, theirs = search.open(str(uri)), lancedb.connect(uri.database).open_table(uri.name)
    seconds: dict[str, list[float]] = {"ours": [], "lancedb": []}
    for query in queries[: EXACT_QUERIES + 1]:
        start = time.perf_counter()
        ours.by(search.vector(query, "text"), K, exact=True)
        middle = time.perf_counter()
        asked = theirs.search(query, vector_column_name=schema.IMAGE_VECTOR).distance_type("cosine")
        asked.bypass_vector_index().where("status = 'success'", prefilter=True).select(COLUMNS).limit(K).to_list()
        seconds["ours"].append(middle - start)
        seconds["lancedb"].append(time.perf_counter() - middle)
    medians = {name: float(np.median(times[1:])) for name, times in seconds.items()}
    return {**{f"{name} ms": round(1000 * value, 1) for name, value in medians.items()}} | {
        "ours / lancedb": round(medians["ours"] / medians["lancedb"], 3)
    }


def _many(uri: TableUri, queries: Floats) -> dict[str, Any]:
    """A hundred queries in one call, beside as many calls; exact ones are counted up from a few."""
    opened, found = search.open(str(uri)), {}
    asked = [search.vector(query, "text") for query in queries[:100]]
    for name, exact, singles in (("index", False, 100), ("exact", True, EXACT_QUERIES)):
        opened.many(asked[:2], K, exact=exact)
        start = time.perf_counter()
        opened.many(asked, K, exact=exact)
        middle = time.perf_counter()
        for query in asked[:singles]:
            opened.by(query, K, exact=exact)
        one_by_one = (time.perf_counter() - middle) / singles * 100
        found[name] = {
            "one call s": round(middle - start, 3),
            "100 calls s": round(one_by_one, 3),
            "ratio": round((middle - start) / one_by_one, 3),
        }
    return found


def _in_memory(uri: TableUri, queries: Floats, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """faiss and usearch on the same vectors, each asked for more until it reaches the recall of ours."""
    uids, vectors = _all_vectors(uri)
    truth = _truth(uri, queries)
    for name in names:
        build, load, searcher, ways = IN_MEMORY[name]
        file = Path(f"{uri.dataset}.{name}")
        seconds = None
        if not file.exists():
            start = time.perf_counter()
            build(vectors, str(file))
            seconds = round(time.perf_counter() - start, 1)
        call = searcher(load(str(file)), vectors)
        timed: dict[str, Any] = {}
        for way in ways:

            def found(query: Floats, way: Any = way, call: Any = call) -> list[str]:
                return [uids[int(number)] for number in call(query, *way) if number >= 0]

            timed = {"asked": way, **_in_turns({name: found}, queries, truth)[name]}
            if timed["recall@10"] >= indexing.DEFAULT_RECALL:
                break
        yield {"index": name, "build s": seconds, "bytes a row": round(file.stat().st_size / len(uids)), **timed}


def _all_vectors(uri: TableUri) -> tuple[list[str], np.ndarray]:
    dataset = lance.dataset(uri.dataset)
    uids, vectors = list[str](), np.empty((dataset.count_rows(), DIMENSION), np.float16)
    for batch in dataset.scanner(columns=["uid", schema.IMAGE_VECTOR]).to_batches():
        values = batch[schema.IMAGE_VECTOR].flatten().to_numpy(zero_copy_only=False)
        vectors[len(uids) : len(uids) + len(batch)] = values.reshape(len(batch), DIMENSION)
        uids += batch["uid"].to_pylist()
    return uids, vectors


def _blocks(vectors: np.ndarray) -> Iterator[slice]:
    yield from (slice(start, start + ROWS_PER_FRAGMENT) for start in range(0, len(vectors), ROWS_PER_FRAGMENT))


def _build_pq(vectors: np.ndarray, file: str) -> None:
    import faiss

    index = faiss.index_factory(DIMENSION, f"IVF{int(len(vectors) ** 0.5)},PQ96x8", faiss.METRIC_INNER_PRODUCT)
    drawn = np.random.default_rng(0).choice(len(vectors), min(len(vectors), 60_000), replace=False)
    index.train(vectors[np.sort(drawn)].astype(np.float32))
    for block in _blocks(vectors):
        index.add(vectors[block].astype(np.float32))
    faiss.write_index(index, file)


def _build_hnsw(vectors: np.ndarray, file: str) -> None:
    import faiss

    index = faiss.IndexHNSWSQ(DIMENSION, faiss.ScalarQuantizer.QT_fp16, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 64
    index.train(vectors[:1_000].astype(np.float32))
    for block in _blocks(vectors):
        index.add(vectors[block].astype(np.float32))
    faiss.write_index(index, file)


def _build_usearch(vectors: np.ndarray, file: str) -> None:
    from usearch.index import Index

    index = Index(ndim=DIMENSION, metric="ip", dtype="f16", connectivity=16, expansion_add=64)
    for block in _blocks(vectors):
        index.add(np.arange(block.start, min(len(vectors), block.stop)), vectors[block])
    index.save(file)


def _load_faiss(file: str) -> Any:
    import faiss

    return faiss.read_index(file)


def _load_usearch(file: str) -> Any:
    from usearch.index import Index

    return Index.restore(file)


def _searcher_pq(index: Any, vectors: np.ndarray) -> Any:
    def search_pq(query: Floats, probes: int, refine: int) -> Any:
        """As ours: candidates, compared exactly."""
        index.nprobe = probes
        near = index.search(query[None], K * refine)[1][0]
        near = near[near >= 0]
        return near[np.argsort(-(vectors[near].astype(np.float32) @ query))[:K]]

    return search_pq


def _searcher_hnsw(index: Any, _vectors: np.ndarray) -> Any:
    def search_hnsw(query: Floats, effort: int) -> Any:
        index.hnsw.efSearch = effort
        return index.search(query[None], K)[1][0]

    return search_hnsw


def _searcher_usearch(index: Any, _vectors: np.ndarray) -> Any:
    def search_usearch(query: Floats, effort: int) -> Any:
        index.expansion_search = effort
        return index.search(query.astype(np.float16), K).keys

    return search_usearch


EFFORTS = [(64,), (128,), (256,), (512,), (1024,)]
IN_MEMORY: dict[str, tuple[Any, Any, Any, list[tuple[int, ...]]]] = {
    "faiss-ivf-pq": (
        *(_build_pq, _load_faiss, _searcher_pq),
        [(probes, refine) for refine in (10, 40) for probes in (32, 128, 512)],
    ),
    "faiss-hnsw": (_build_hnsw, _load_faiss, _searcher_hnsw, EFFORTS),
    "usearch": (_build_usearch, _load_usearch, _searcher_usearch, EFFORTS),
}
"""what builds an index into a file, what loads it, what asks it, and how, cheapest first"""


if __name__ == "__main__":
    main(*sys.argv[1:])
