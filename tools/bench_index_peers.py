#!/usr/bin/env python3
"""Times other vector indexes on the vectors that `nearlite_index_bench --export FOLDER` wrote.

usage: bench_index_peers.py FOLDER [--peers faiss,annoy,hnswlib,usearch,sqlite-vec]

One thread, k = 10, cosine; every peer is also tuned to a recall of 0.99 where it has a setting for it. Columns as in
nearlite_index_bench: median and 99th percentile in milliseconds per query by the wall clock, mean processor time,
recall@10, bytes per vector. Peers that are
not installed are named and left out (tools/requirements-bench.txt).
"""

import argparse
import os
import pathlib
import re
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy  # noqa: E402  (after the number of threads is set)

K = 10
WANTED = 0.99


class Data:
    def __init__(self, folder, shape):
        rows, dim = map(int, shape.split("x"))
        self.vectors = numpy.fromfile(folder / f"vectors-{shape}.f32", "<f4").reshape(rows, dim)
        self.queries = numpy.fromfile(folder / f"queries-{shape}.f32", "<f4").reshape(-1, dim)
        self.rows, self.dim = rows, dim
        self.borders = numpy.empty(len(self.queries))
        for i, query in enumerate(self.queries):
            cosines = self.vectors @ query
            self.borders[i] = numpy.partition(cosines, rows - K)[rows - K]

    def recall(self, i, found):
        near = self.vectors[list(dict.fromkeys(found))] @ self.queries[i]
        return min(K, int((near >= self.borders[i] - 1e-6).sum())) / K


def measure(data, search, passes=2, limit=None):
    """Median and 99th percentile of the faster pass, mean processor time of this thread, and the recall."""
    best = None
    count = min(limit or len(data.queries), len(data.queries))
    for _ in range(passes):
        times, recall, cpu = [], 0.0, 0.0
        for i in range(count):
            cpu_start, start = time.thread_time(), time.perf_counter()
            found = search(data.queries[i])
            times.append((time.perf_counter() - start) * 1000)
            cpu += (time.thread_time() - cpu_start) * 1000
            recall += data.recall(i, found)
        times.sort()
        if best is None or times[count // 2] < best[0]:
            best = (times[count // 2], times[count * 99 // 100], cpu / count, recall / count)
    return best


def report(data, name, result, bytes_per_vector, note=""):
    p50, p99, cpu, recall = result
    print(f"{name:<44} {data.rows:>7} x {data.dim:<4} {p50:9.4f} {p99:9.4f} {cpu:9.4f} {recall:9.4f} {bytes_per_vector:9.0f} {note}",
          flush=True)


def tune(data, settings, search_with):
    """The first setting that reaches the wanted recall, or the last."""
    for setting in settings:
        result = measure(data, lambda query: search_with(query, setting), passes=1)
        if result[3] >= WANTED:
            break
    return setting, measure(data, lambda query: search_with(query, setting))


def bench_faiss(data, folder):
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(data.dim)
    index.add(data.vectors)
    result = measure(data, lambda query: index.search(query[None, :], K)[1][0])
    report(data, f"faiss-cpu {faiss.__version__} IndexFlatIP", result, 4 * data.dim)


def bench_annoy(data, folder):
    import annoy

    index = annoy.AnnoyIndex(data.dim, "angular")
    index.set_seed(1)
    for i, vector in enumerate(data.vectors):
        index.add_item(i, vector)
    start = time.perf_counter()
    index.build(10, n_jobs=1)
    seconds = time.perf_counter() - start
    index.save(str(folder / "peer.ann"))
    size = (folder / "peer.ann").stat().st_size / data.rows
    report(data, "annoy, 10 trees, default search_k", measure(data, lambda query: index.get_nns_by_vector(query, K)), size,
           f"build {seconds:.1f} s")
    report(data, "annoy, 10 trees, search_k 10000",
           measure(data, lambda query: index.get_nns_by_vector(query, K, search_k=10000)), size)
    setting, result = tune(data, [1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000],
                           lambda query, search_k: index.get_nns_by_vector(query, K, search_k=search_k))
    report(data, f"annoy, 10 trees, search_k {setting}", result, size)


def bench_hnswlib(data, folder):
    import hnswlib

    index = hnswlib.Index(space="cosine", dim=data.dim)
    index.init_index(max_elements=data.rows, ef_construction=200, M=16)
    index.set_num_threads(1)
    start = time.perf_counter()
    index.add_items(data.vectors, num_threads=1)
    seconds = time.perf_counter() - start
    index.save_index(str(folder / "peer.hnsw"))
    size = (folder / "peer.hnsw").stat().st_size / data.rows

    def search(query, ef):
        index.set_ef(ef)
        return index.knn_query(query, K, num_threads=1)[0][0]

    setting, result = tune(data, [20, 40, 80, 120, 200, 400, 800], search)
    report(data, f"hnswlib M16 efC200, ef {setting}", result, size, f"build {seconds:.1f} s")


def bench_usearch(data, folder):
    import usearch.index

    for kind in ("f32", "bf16", "i8"):
        index = usearch.index.Index(ndim=data.dim, metric="cos", dtype=kind, connectivity=16, expansion_add=128)
        start = time.perf_counter()
        index.add(numpy.arange(data.rows), data.vectors, threads=1)
        seconds = time.perf_counter() - start
        index.save(str(folder / "peer.usearch"))
        size = (folder / "peer.usearch").stat().st_size / data.rows

        def search(query, ef):
            index.expansion_search = ef
            return index.search(query, K, threads=1).keys.tolist()

        setting, result = tune(data, [20, 40, 80, 120, 200, 400, 800], search)
        report(data, f"usearch {kind}, expansion {setting}", result, size, f"build {seconds:.1f} s")


def bench_sqlite_vec(data, folder):
    import sqlite3

    import sqlite_vec

    connection = sqlite3.connect(folder / "peer.db")
    connection.enable_load_extension(True)
    sqlite_vec.load(connection)
    connection.execute(f"CREATE VIRTUAL TABLE v USING vec0(vector float[{data.dim}] distance_metric=cosine)")
    start = time.perf_counter()
    with connection:
        connection.executemany("INSERT INTO v(rowid, vector) VALUES (?, ?)",
                               ((i, vector.tobytes()) for i, vector in enumerate(data.vectors)))
    seconds = time.perf_counter() - start

    def search(query):
        rows = connection.execute("SELECT rowid FROM v WHERE vector MATCH ? AND k = ?", (query.tobytes(), K))
        return [row[0] for row in rows]

    result = measure(data, search, passes=1, limit=50)
    report(data, "sqlite-vec vec0 float", result, (folder / "peer.db").stat().st_size / data.rows,
           f"insert {seconds:.1f} s")
    connection.close()


PEERS = {"faiss": bench_faiss, "annoy": bench_annoy, "hnswlib": bench_hnswlib, "usearch": bench_usearch, "sqlite-vec": bench_sqlite_vec}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--peers", default=",".join(PEERS))
    options = parser.parse_args()
    shapes = [match[1] for path in options.folder.glob("vectors-*.f32")
              if (match := re.fullmatch(r"vectors-(\d+x\d+)\.f32", path.name))]
    if not shapes:
        parser.error(f"no vectors-*.f32 in {options.folder}: run nearlite_index_bench --export first")
    print(f"{'peer':<44} {'rows x dim':>14} {'p50 ms':>9} {'p99 ms':>9} {'cpu ms':>9} {'recall@10':>9} {'B/vector':>9}")
    for shape in sorted(shapes, key=lambda text: int(text.split("x")[0])):
        data = Data(options.folder, shape)
        for name in options.peers.split(","):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    PEERS[name](data, pathlib.Path(folder))
                except ImportError as missing:
                    print(f"{name}: not installed ({missing})")
                except AttributeError as missing:  # sqlite3 built without extension loading
                    print(f"{name}: this Python cannot run it ({missing})")


if __name__ == "__main__":
    main()
