"""What others need for the same work on the same inputs: prints one JSON object per figure, as nearlite_chain_bench does.

usage: bench_peers.py encoder|index|store MODEL TEXTS VECTORS WORK-FOLDER
       bench_peers.py adds FOLDER [RECORDS...]   durable adds alone, with files in FOLDER
"""

import json
import os
import pathlib
import sqlite3
import statistics
import sys
import tempfile
import time

import numpy

QUERIES = 200


def report(task, who, shape, value, unit, better):
    print(json.dumps({"task": task, "who": who, "shape": shape, "value": float(value), "unit": unit, "better": better}), flush=True)


class OnnxEncoder:
    """tokenizers + ONNX Runtime fp32, texts sorted by length, batches padded: how sentence-transformers would do it."""

    def __init__(self, model, threads):
        import bench_onnx
        import onnxruntime
        from tokenizers import Tokenizer
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(bench_onnx.build(model), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.no_padding()

    def encode(self, texts, batch=32):
        encoded = [e.ids for e in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda i: -len(encoded[i]))
        out = numpy.empty((len(texts), 384), dtype=numpy.float32)
        for start in range(0, len(order), batch):
            part = order[start:start + batch]
            length = len(encoded[part[0]])
            ids = numpy.zeros((len(part), length), dtype=numpy.int64)
            mask = numpy.zeros_like(ids)
            for row, i in enumerate(part):
                ids[row, :len(encoded[i])] = encoded[i]
                mask[row, :len(encoded[i])] = 1
            out[part] = self.session.run(None, {"ids": ids, "mask": mask})[0]
        return out, sum(map(len, encoded))


def bench_encoder(model, texts, vectors, work):
    texts = texts[:1000]
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        encoder = OnnxEncoder(model, threads)
        encoder.encode(texts[:32])
        started = time.perf_counter()
        got, tokens = encoder.encode(texts)
        seconds = time.perf_counter() - started
        cosine = (got * vectors[:len(texts)]).sum(1).min()
        if not cosine > 0.9999:
            sys.exit(f"bench_peers: the vectors of ONNX Runtime are not ours: smallest cosine {cosine}")
        report("encode", "ONNX Runtime fp32", f"{len(texts)} descriptions, {tokens // len(texts)} tokens each, {threads} threads",
               tokens / seconds, "tokens/s", "more")
        if threads == 1:
            question = ["how do I reset a forgotten password?"]
            report("encode one question", "ONNX Runtime fp32", "10 tokens, 1 thread",
                   median(lambda _: encoder.encode(question), QUERIES) * 1e3, "ms", "less")


def median(call, times):
    took = []
    for i in range(times):
        started = time.perf_counter()
        call(i)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def bench_index(model, texts, vectors, work):
    import annoy
    import faiss
    import hnswlib
    import sqlite_vec
    count, dim = vectors.shape
    shape = f"{count} x {dim}, k 10, 1 thread"
    faiss.omp_set_num_threads(1)
    queries = vectors[:min(QUERIES, count)]
    wanted = [set(row) for row in numpy.argsort(-(queries @ vectors.T), axis=1)[:, :10]]

    def measure(task, who, ask):
        report(task, who, shape, median(lambda i: ask(queries[i]), len(queries)) * 1e6, "us/query", "less")
        hits = sum(len(wanted[i] & set(ask(queries[i]))) for i in range(len(queries)))
        report(f"{task}, recall@10", who, shape, hits / (10 * len(queries)), "", "more")

    flat = faiss.IndexFlatIP(dim)
    started = time.perf_counter()
    flat.add(vectors)
    faiss.write_index(flat, str(work / "peer.faiss"))
    report("build and write faiss", "faiss-cpu Flat", shape, (time.perf_counter() - started) * 1e3, "ms", "less")
    measure("faiss search", "faiss-cpu Flat", lambda q: flat.search(q[None], 10)[1][0].tolist())
    measure("exact search", "faiss-cpu Flat", lambda q: flat.search(q[None], 10)[1][0].tolist())

    forest = annoy.AnnoyIndex(dim, "angular")
    started = time.perf_counter()
    for i, row in enumerate(vectors):
        forest.add_item(i, row)
    forest.set_seed(1)
    forest.build(10, n_jobs=1)
    forest.save(str(work / "peer.ann"))
    report("build and write annoy", "annoy 10 trees", shape, (time.perf_counter() - started) * 1e3, "ms", "less")
    measure("annoy search", "annoy 10 trees, default effort", lambda q: forest.get_nns_by_vector(q, 10))
    effort = 100
    while effort < count * 10:
        hits = sum(len(wanted[i] & set(forest.get_nns_by_vector(queries[i], 10, effort))) for i in range(len(queries)))
        if hits >= 0.99 * 10 * len(queries):
            break
        effort *= 2
    measure("annoy search", f"annoy 10 trees, effort {effort}", lambda q: forest.get_nns_by_vector(q, 10, effort))

    graph = hnswlib.Index("ip", dim)
    graph.init_index(count, ef_construction=200, M=16)
    graph.set_num_threads(1)
    graph.add_items(vectors)
    graph.set_ef(100)
    measure("graph search", "hnswlib M 16, ef 100", lambda q: graph.knn_query(q, 10)[0][0].tolist())

    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{dim}] distance_metric=cosine)")
    db.executemany("INSERT INTO v(rowid, e) VALUES(?, ?)", ((i, row.tobytes()) for i, row in enumerate(vectors)))
    measure("exact search", "sqlite-vec", lambda q: [r for (r,) in db.execute(
        "SELECT rowid FROM v WHERE e MATCH ? AND k = 10 ORDER BY distance", (q.tobytes(),))])


def bench_store(model, texts, vectors, work):
    import sqlite_vec
    threads = len(os.sched_getaffinity(0))
    encoder = OnnxEncoder(model, threads)
    encoder.encode(texts[:32])
    db = sqlite3.connect(work / "peer.db")
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE VIRTUAL TABLE v USING vec0(e float[384] distance_metric=cosine)")
    who = "ONNX Runtime fp32 + sqlite-vec"

    def add(first, count):
        for start in range(first, first + count, 100):
            got, _ = encoder.encode([f"{i}: {texts[i % len(texts)]}" for i in range(start, start + 100)])
            with db:
                db.executemany("INSERT INTO v(rowid, e) VALUES(?, ?)", ((start + i, row.tobytes()) for i, row in enumerate(got)))

    for held, task, shape in ((0, "whole backfill", f"1500 descriptions, {threads} threads"),
                              (1500, "batch add", f"1500 to a store of 1500, {threads} threads")):
        started = time.perf_counter()
        add(held, 1500)
        report(task, who, shape, 1500 / (time.perf_counter() - started), "records/s", "more")

        def one(i):
            got, _ = encoder.encode([f"short note number {held + i}"])
            with db:
                db.execute("INSERT INTO v(rowid, e) VALUES(?, ?)", (100000 + held + i, got[0].tobytes()))

        report("single add", who, f"to a store of {held + 1500}", median(one, 50) * 1e3, "ms", "less")


def bench_adds(folder, sizes):
    """Durable adds as nearlite_embeddable_bench does them: WAL, synchronous FULL, one commit for each add or 10,000."""
    import sqlite_vec
    vectors = numpy.random.default_rng(1).standard_normal((10_000, 384)).astype("<f4")
    blobs = [row.tobytes() for row in vectors / numpy.linalg.norm(vectors, axis=1)[:, None]]
    place = ", files in memory" if os.path.realpath(folder).startswith("/dev/shm") else ", files on disk"
    for records in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            db = sqlite3.connect(pathlib.Path(inside) / "peer.db", isolation_level=None)
            db.enable_load_extension(True)
            sqlite_vec.load(db)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("CREATE VIRTUAL TABLE v USING vec0(e float[384] distance_metric=cosine)")
            best = 0
            for first in range(0, records, 10_000):
                count = min(10_000, records - first)
                started = time.perf_counter()
                db.execute("BEGIN IMMEDIATE")
                db.executemany("INSERT INTO v(rowid, e) VALUES(?, ?)", ((first + i + 1, blobs[i]) for i in range(count)))
                db.execute("COMMIT")
                best = max(best, count / (time.perf_counter() - started))
            shape = f"{records} x 384{place}"
            if records >= 10_000:
                report("durable batch add", "sqlite-vec vec0", f"10,000 vectors, store of {shape}", best, "vectors/s", "more")
            one = median(lambda i: db.execute("INSERT INTO v(rowid, e) VALUES(?, ?)", (records + 1 + i, blobs[i])), 400)
            report("durable single add", "sqlite-vec vec0", f"to a store of {shape}", one * 1e3, "ms", "less")
            db.close()


def main():
    if sys.argv[1] == "adds":
        return bench_adds(pathlib.Path(sys.argv[2]), [int(size) for size in sys.argv[3:]] or [1_000, 100_000])
    part, model, texts, vectors, work = sys.argv[1], *map(pathlib.Path, sys.argv[2:6])
    lines = texts.read_text(encoding="utf-8").split("\n")[:-1]
    stored = numpy.fromfile(vectors, dtype="<f4").reshape(len(lines), -1)
    work.mkdir(parents=True, exist_ok=True)
    (work / "peer.db").unlink(missing_ok=True)
    {"encoder": bench_encoder, "index": bench_index, "store": bench_store}[part](model, lines, stored, work)


if __name__ == "__main__":
    main()
