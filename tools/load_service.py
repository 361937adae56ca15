"""Load on nearlite serve over a database that is indexed already, by wrk (Debian) on the same machine.

usage: load_service.py --nearlite PROGRAM DATABASE [--seconds S] [--connections N] [--peer PYTHON] [--txtai PYTHON]
PYTHON has sentence-transformers, fastapi and uvicorn: a server of 30 lines answers the same requests for embeddings; --txtai PYTHON: one that has
txtai[api], whose own server answers questions over the first --txtai-rows rows, and embeds.
"""

import argparse
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).parent


def resident(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text()).group(1)) / 1024


def post(port, path, body):
    head = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), head)) as answer:
        return json.load(answer)


def load(port, mode, connections, seconds, **env):
    done = subprocess.run(["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "10s",
                           "--script", HERE / "load.lua", f"http://127.0.0.1:{port}"],
                          env={**os.environ, "MODE": mode, **env}, capture_output=True, text=True, check=True)
    per_second, p50, p99, errors = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", done.stdout).groups()
    return float(per_second), float(p50), float(p99), int(errors)


def row(name, figures, process, texts=1):
    print(f"| {name} | {figures[0] * texts:,.0f} | {figures[1]:.1f} | {figures[2]:.1f} | {figures[3]} | {resident(process):.0f} |", flush=True)


def wait_for(port, path, process):
    while process.poll() is None:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").read()
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--nearlite", required=True)
    options.add_argument("database")
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--port", type=int, default=18642)
    options.add_argument("--peer")
    options.add_argument("--txtai")
    options.add_argument("--txtai-rows", type=int, default=2000)
    options = options.parse_args()
    n, seconds, port = options.connections, options.seconds, options.port
    env = dict(os.environ, EMBEDDING_SCHEDULER_INTERVAL="0")
    server = subprocess.Popen([options.nearlite, "serve", options.database, "--listen", f"127.0.0.1:{port}", "--quiet"], env=env)
    try:
        wait_for(port, "/readyz", server)
        model = json.loads(wait_for(port, "/v1/models", server))["data"][0]["id"]
        print(f"load average {os.getloadavg()[0]:.1f} before\n\n| requests | per second | p50 ms | p99 ms | errors | resident MiB |")
        print("|---|---:|---:|---:|---:|---:|")
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as vectors:
            texts = [f"a {word} that works" for word in "disk printer network server database image editor python music mail".split()]
            for item in post(port, "/v1/embeddings", {"model": model, "input": texts})["data"]:
                vectors.write(json.dumps(item["embedding"]) + "\n")
            vectors.flush()
            load(port, "hybrid", n, 3)  # words and pages are read once
            for mode in ("hybrid", "vector", "keyword"):
                row(f"questions, {mode}, {n} connections", load(port, mode, n, seconds), server)
            row(f"questions, hybrid, 4 connections", load(port, "hybrid", 4, seconds), server)
            for connections in (n, 2):
                row(f"by vector, {connections} connections", load(port, "nearest", connections, seconds, VECTORS=vectors.name), server)
            row(f"texts, one per request, {n} connections", load(port, "one", n, seconds, MODEL=model), server)
            row("texts, 64 per request, 2 connections", load(port, "batch", 2, seconds, MODEL=model), server, 64)
    finally:
        server.terminate()
        server.wait()
    if options.peer:
        peer = subprocess.Popen([options.peer, HERE / "bench_fastapi.py", str(port)], env={**env, "HF_HUB_OFFLINE": "1"})
        try:
            wait_for(port, "/healthz", peer)
            row(f"FastAPI: texts, one per request, {n} connections", load(port, "one", n, seconds, MODEL=model), peer)
            row("FastAPI: texts, 64 per request, 2 connections", load(port, "batch", 2, seconds, MODEL=model), peer, 64)
        finally:
            peer.terminate()
            peer.wait()
    if options.txtai:
        txtai(options.txtai, options.database, options.txtai_rows, port, n, seconds, env)


def txtai(python, database, rows, port, n, seconds, env):
    """txtai's own API server over the first rows of the same database."""
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    model = os.environ.get("NEARLITE_TEST_MODEL", cache + "/nearlite/models/sentence-transformers/all-MiniLM-L6-v2")
    with sqlite3.connect(database) as db, tempfile.TemporaryDirectory() as folder:
        [table] = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' LIMIT 1")]
        texts = [" ".join(str(value) for value in row if isinstance(value, str)) for row in db.execute(f'SELECT * FROM "{table}" LIMIT ?', (rows,))]
        config = pathlib.Path(folder, "config.yml")
        config.write_text(f"writable: true\nembeddings:\n  path: {model}\n  content: false\n")
        program = "import sys, uvicorn; uvicorn.run('txtai.api:app', host='127.0.0.1', port=int(sys.argv[1]), log_level='warning')"
        server = subprocess.Popen([python, "-c", program, str(port)], env={**env, "CONFIG": str(config), "HF_HUB_OFFLINE": "1"})
        try:
            wait_for(port, "/openapi.json", server)
            for begin in range(0, len(texts), 500):
                post(port, "/add", [{"id": i, "text": texts[i]} for i in range(begin, min(begin + 500, len(texts)))])
            urllib.request.urlopen(f"http://127.0.0.1:{port}/index").read()
            row(f"txtai: questions over {rows:,} rows, {n} connections", load(port, "txtai search", n, seconds), server)
            row(f"txtai: texts, one per request, {n} connections", load(port, "txtai one", n, seconds), server)
            row("txtai: texts, 64 per request, 2 connections", load(port, "txtai batch", 2, seconds), server, 64)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
