"""3,000 descriptions into vectors that are kept, then 10 edits and 10 deletions, by nearlite and by what else does that: one process each, one run.

usage: tools/bench_store_peers.py --nearlite BIN --model M DATABASE [--rows 3000] [--only NAME,NAME]

Each of the others runs as its documentation shows, from the same model folder, without the network, on all processors: txtai, chromadb, `llm embed-multi`
(with llm-sentence-transformers), and what an expert would write himself: CTranslate2 in int8, vectors and hashes of texts in sqlite-vec. They are
looked for in the Python that runs this (tools/requirements-store-peers.txt); who is missing is left out. nearlite runs in its default precision and in int8.
`right`: after the second run every row has the vector of its text as it is now, and no row that is gone has one. Memory is that of the largest process.
The last columns set nearlite beside each of the others.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time


def rows_of(database):
    db = sqlite3.connect(database)
    rows = db.execute("SELECT id, body FROM note ORDER BY id").fetchall()
    db.close()
    return rows


# Each contender: run(work, database, model) brings its store up to date; texts(work, ...) tells which ids it holds, with the text if it keeps it.

def run_txtai(work, database, model):
    from txtai import Embeddings
    embeddings = Embeddings({"path": model, "content": True, "method": "sentence-transformers"})
    if (work / "index").exists():
        embeddings.load(str(work / "index"))
    embeddings.upsert((str(key), text, None) for key, text in rows_of(database))
    embeddings.save(str(work / "index"))


def texts_txtai(work):
    db = sqlite3.connect(work / "index" / "documents")
    return dict(db.execute("SELECT id, text FROM sections"))


def run_chromadb(work, database, model):
    import chromadb
    from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction
    client = chromadb.PersistentClient(str(work / "chroma"))
    collection = client.get_or_create_collection("notes", embedding_function=SentenceTransformerEmbeddingFunction(model_name=model))
    rows = rows_of(database)
    for at in range(0, len(rows), 1000):
        part = rows[at:at + 1000]
        collection.upsert(ids=[str(key) for key, _ in part], documents=[text for _, text in part])


def texts_chromadb(work):
    import chromadb
    got = chromadb.PersistentClient(str(work / "chroma")).get_collection("notes").get(include=["documents"])
    return dict(zip(got["ids"], got["documents"]))


def run_llm(work, database, model):
    env = {**os.environ, "LLM_USER_PATH": str(work)}
    name = "sentence-transformers/" + model
    (work / "sentence-transformers.json").write_text(json.dumps([{"name": model, "trust_remote_code": False}]))
    subprocess.run([sys.executable, "-m", "llm", "embed-multi", "notes", "--attach", "app", str(database), "--sql", "SELECT id, body FROM app.note",
                    "-d", str(work / "out.db"), "-m", name, "--store"], check=True, env=env, stdout=subprocess.DEVNULL)


def texts_llm(work):
    return dict(sqlite3.connect(work / "out.db").execute("SELECT id, content FROM embeddings"))


def run_ctranslate2(work, database, model):
    import ctranslate2
    import numpy
    import sqlite_vec
    import tokenizers
    try:
        import pysqlite3 as sqlite3  # where Python's own SQLite loads no extensions
    except ImportError:
        import sqlite3
    if not (work.parent / "ct2").exists():
        raise SystemExit("not converted")
    # One batch per processor is faster than one batch on all of them.
    threads = len(os.sched_getaffinity(0))
    encoder = ctranslate2.Encoder(str(work.parent / "ct2"), compute_type="int8", inter_threads=threads, intra_threads=1)
    tokenizer = tokenizers.Tokenizer.from_file(model + "/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    db = sqlite3.connect(work / "out.db")
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute("CREATE TABLE IF NOT EXISTS text(id INTEGER PRIMARY KEY, hash BLOB, body TEXT)")
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS vec USING vec0(embedding float[384])")
    known = dict(db.execute("SELECT id, hash FROM text"))
    rows = rows_of(database)
    due = [(key, text) for key, text in rows if known.get(key) != hashlib.sha256(text.encode()).digest()]
    due.sort(key=lambda row: len(row[1]))
    def encode(part):
        ids = [encoding.ids for encoding in tokenizer.encode_batch([text for _, text in part])]
        hidden = numpy.array(encoder.forward_batch(ids).last_hidden_state)
        lengths = numpy.array([len(one) for one in ids])
        mask = (numpy.arange(hidden.shape[1])[None, :] < lengths[:, None]).astype(numpy.float32)
        mean = numpy.einsum("btd,bt->bd", hidden, mask) / lengths[:, None]
        return part, mean / numpy.linalg.norm(mean, axis=1, keepdims=True)

    pool = concurrent.futures.ThreadPoolExecutor(threads)
    for part, mean in pool.map(encode, [due[at:at + 32] for at in range(0, len(due), 32)]):
        for (key, text), vector in zip(part, mean.astype(numpy.float32)):
            db.execute("INSERT OR REPLACE INTO text VALUES (?, ?, ?)", (key, hashlib.sha256(text.encode()).digest(), text))
            db.execute("DELETE FROM vec WHERE rowid = ?", (key,))
            db.execute("INSERT INTO vec(rowid, embedding) VALUES (?, ?)", (key, vector.tobytes()))
    for key in known.keys() - {key for key, _ in rows}:
        db.execute("DELETE FROM text WHERE id = ?", (key,))
        db.execute("DELETE FROM vec WHERE rowid = ?", (key,))
    db.commit()


def texts_ctranslate2(work):
    return {str(key): text for key, text in sqlite3.connect(work / "out.db").execute("SELECT id, body FROM text")}


OURS = {"nearlite": "", "nearlite-int8": ":int8"}
PEERS = ["ctranslate2", "txtai", "chromadb", "llm"]


def timed(command, env):
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError((errors.strip().splitlines() or ["no message"])[-1])
    # The largest process of it: a command that starts another one is no smaller for that.
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def note_database(path, rows):
    db = sqlite3.connect(path)
    with db:
        db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO note VALUES (?, ?)", rows)
    return db


def fault_of_ours(nearlite, database, rows, env):
    out = subprocess.run([nearlite, "status", str(database), "--json"], env=env, capture_output=True, check=True).stdout
    status = json.loads(out)["stores"][0]
    right = status["fresh"] == status["rows"] == len(rows) - 10 and status["orphan"] == 0
    return "" if right else json.dumps(status)


def fault_of_theirs(name, work, database):
    held = {str(key): text for key, text in globals()["texts_" + name](work).items()}
    now = {str(key): text for key, text in rows_of(database)}
    orphans, missed = len(held.keys() - now.keys()), sum(held.get(key) != text for key, text in now.items())
    return f"{orphans} vectors of rows that are gone, {missed} rows not as they are now" if orphans or missed else ""


def measure(name, arguments, rows, env):
    """(seconds of the first run, MiB, seconds of the second, what is wrong afterwards)"""
    with tempfile.TemporaryDirectory(prefix="nearlite-peers-") as top:
        work = pathlib.Path(top) / "work"
        work.mkdir()
        database = pathlib.Path(top) / "app.db"
        db = note_database(database, rows)
        if name in OURS:
            command = [arguments.nearlite, "index", str(database), "--table", "note:body", "--model", arguments.model + OURS[name], "--yes", "--quiet"]
            again = [arguments.nearlite, "index", str(database), "--quiet"]
        else:
            command = again = [sys.executable, __file__, str(database), "--model", arguments.model, "--step", name, str(work)]
        try:
            if name == "ctranslate2":
                subprocess.run([pathlib.Path(sys.executable).with_name("ct2-transformers-converter"), "--model", arguments.model, "--output_dir",
                                str(work.parent / "ct2")], check=True, capture_output=True, env=env)
            first, memory = timed(command, env)
            with db:
                db.execute("UPDATE note SET body = body || ' edited' WHERE id IN (SELECT id FROM note ORDER BY id LIMIT 10)")
                db.execute("DELETE FROM note WHERE id IN (SELECT id FROM note ORDER BY id DESC LIMIT 10)")
            second, _ = timed(again, env)
            fault = fault_of_ours(arguments.nearlite, database, rows, env) if name in OURS else fault_of_theirs(name, work, database)
            return first, memory, second, fault
        finally:
            db.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("database", type=pathlib.Path)
    parser.add_argument("--nearlite", type=lambda text: str(pathlib.Path(text).absolute()))
    parser.add_argument("--model", required=True, type=lambda text: str(pathlib.Path(text).absolute()))
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--only", default="")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)  # NAME WORK, in a process of its own
    arguments = parser.parse_args()
    if arguments.step:
        globals()["run_" + arguments.step[0]](pathlib.Path(arguments.step[1]), arguments.database, arguments.model)
        return
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "ANONYMIZED_TELEMETRY": "False", "TOKENIZERS_PARALLELISM": "true",
           "NEARLITE_MODEL": arguments.model}
    source = sqlite3.connect(arguments.database)
    rows = source.execute("SELECT id, name || char(10) || summary || char(10) || coalesce(description, '') FROM package ORDER BY id LIMIT ?",
                          (arguments.rows,)).fetchall()
    source.close()
    wanted = arguments.only.split(",") if arguments.only else [*OURS, *PEERS]
    print(f"{len(rows):,} descriptions, {len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}")
    print(f"  {'':<14}{'first run':>12}{'records/s':>12}{'memory':>12}{'second run':>14}   after 10 edits and 10 deletions")
    figures = {}
    for name in wanted:
        try:
            first, memory, second, fault = measure(name, arguments, rows, env)
        except Exception as error:
            print(f"  {name:<14}not measured: {error}", flush=True)
            continue
        figures[name] = first, memory, second
        text = fault or "right"
        for ours in OURS:
            if name not in OURS and ours in figures:
                mine = figures[ours]
                text += f"; {ours}: {first / mine[0]:.1f}x as fast, {mine[1] / memory:.2f} of the memory, second run {second / mine[2]:.0f}x as fast"
        print(f"  {name:<14}{first:>10.1f} s{len(rows) / first:>12,.0f}{memory:>8,.0f} MiB{second:>12.2f} s   {text}", flush=True)


if __name__ == "__main__":
    main()
