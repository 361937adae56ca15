"""What a question costs peers, from text in to ten rows out, on the packages that nearlite_retrieval_bench asks: one JSON line per figure.

sentence-transformers + sqlite-vec: a vec0 table of float32, the question encoded by PyTorch. txtai: its hybrid index, if it is installed.
Rows get vectors of random numbers (sqlite-vec scans all of them, whatever they say) unless --vectors names little-endian float32 of all rows.
usage: bench_retrieval_peers.py MODEL PACKAGES.db [--vectors FILE] [--txtai ROWS]
"""

import argparse
import json
import os
import sqlite3
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np

QUESTIONS = 100


def questions_of(db):
    """The same kind as nearlite_retrieval_bench: three to eight words of every n-th summary."""
    summaries = [row[0] for row in db.execute("SELECT summary FROM package WHERE length(summary) > 30 ORDER BY id")]
    return [" ".join(summaries[i * len(summaries) // QUESTIONS].split(" ")[:3 + i % 6]) for i in range(QUESTIONS)]


def report(who, shape, times):
    times = sorted(times)
    for measure, value in (("p50", times[len(times) // 2]), ("p99", times[len(times) * 99 // 100])):
        print(json.dumps({"task": "question over one store", "who": who, "shape": shape, "measure": measure,
                          "value": round(value * 1e3, 3), "unit": "ms", "better": "less"}), flush=True)


def time_all(questions, ask):
    for question in questions[:5]:
        ask(question)
    times = []
    for question in questions:
        begun = time.perf_counter()
        ask(question)
        times.append(time.perf_counter() - begun)
    return times


def sqlite_vec(arguments, db, questions):
    try:
        import sentence_transformers
        import sqlite_vec as extension
    except ImportError:
        print("sentence-transformers is not installed: no peer is measured", file=sys.stderr)
        return
    model = sentence_transformers.SentenceTransformer(arguments.model, device="cpu")
    rows = db.execute("SELECT id FROM package ORDER BY id").fetchall()
    if arguments.vectors:
        vectors = np.fromfile(arguments.vectors, "<f4").reshape(len(rows), -1)
    else:
        vectors = np.random.default_rng(1).standard_normal((len(rows), 384), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = sqlite3.connect(":memory:")
    index.enable_load_extension(True)
    extension.load(index)
    index.execute("CREATE VIRTUAL TABLE v USING vec0(id INTEGER PRIMARY KEY, e FLOAT[384] distance_metric=cosine)")
    index.executemany("INSERT INTO v VALUES (?, ?)", ((key, vector.tobytes()) for (key,), vector in zip(rows, vectors)))

    def ask(question):
        vector = model.encode([question], normalize_embeddings=True)[0]
        hits = index.execute("SELECT id, distance FROM v WHERE e MATCH ? AND k = 10", (vector.astype("<f4").tobytes(),)).fetchall()
        return [db.execute("SELECT name, substr(description, 1, 200) FROM package WHERE id = ?", (key,)).fetchone() for key, _ in hits]

    report("sentence-transformers + sqlite-vec", f"{len(rows)} rows, 1 store, vector", time_all(questions, ask))


def txtai(arguments, db, questions):
    try:
        import txtai as library
    except ImportError:
        return
    rows = db.execute("SELECT id, name || char(10) || summary || char(10) || description FROM package WHERE description IS NOT NULL "
                      "ORDER BY id LIMIT ?", (arguments.txtai,)).fetchall()
    index = library.Embeddings(path=arguments.model, content=True, hybrid=True, gpu=False)
    index.index((key, text, None) for key, text in rows)
    report("txtai", f"{len(rows)} rows, 1 store, hybrid", time_all(questions, lambda question: index.search(question, 10)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("packages")
    parser.add_argument("--vectors")
    parser.add_argument("--txtai", type=int, default=2000, help="rows that txtai indexes (it reads them with the model)")
    arguments = parser.parse_args()
    db = sqlite3.connect(f"file:{arguments.packages}?mode=ro", uri=True)
    questions = questions_of(db)
    sqlite_vec(arguments, db, questions)
    txtai(arguments, db, questions)


if __name__ == "__main__":
    main()
