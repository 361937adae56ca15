"""A long run of nearlite serve under mixed load: searches, records, embeddings, contexts, outcomes, edits with refreshes, clients that go away.

usage: soak_service.py --nearlite PROGRAM [--seconds 600] [--connections 8] [--pause 0.01] [DATABASE]
Prints resident memory, descriptors and threads every tenth of the run, and at the end how they grew after the first tenth. Exit 1 for an answer that
is no success. Without DATABASE: a small one of its own.
"""

import argparse
import asyncio
import itertools
import json
import os
import pathlib
import random
import re
import sqlite3
import subprocess
import tempfile
import time

from bench_service import answer, request, resident, sentence


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def requests(rng, model, store):
    kinds = [lambda: request("/v1/search", {"query": sentence(rng, 4)}), lambda: request("/v1/search", {"query": sentence(rng, 3), "mode": "keyword"}),
             lambda: request("/v1/embeddings", {"model": model, "input": [sentence(rng, 12) for _ in range(rng.randrange(1, 9))]}),
             lambda: request("/v1/context", {"query": sentence(rng, 5)}), lambda: get(f"/v1/stores/{store}"), lambda: get("/metrics"),
             lambda: request("/v1/patches", {"vector_ids": [f"{store}:{rng.randrange(1, 50)}"], "result": rng.random() < 0.7}),
             lambda: get("/healthz")]
    while True:
        yield rng.choice(kinds)()


async def client(port, bodies, end, pause, counts):
    while time.time() < end:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in itertools.islice(bodies, 50):
            writer.write(body)
            if random.random() < 0.005:  # goes away without reading
                counts["gone"] += 1
                break
            status = await answer(reader)
            counts[status] = counts.get(status, 0) + 1
            await asyncio.sleep(pause)
            if time.time() >= end:
                break
        writer.close()


async def edits(file, store, port, end):
    number = 0
    while time.time() < end:
        await asyncio.sleep(5)
        number += 1
        with sqlite3.connect(file, timeout=30) as db:
            db.execute("UPDATE note SET body = body || ? WHERE id = ?", (f" edit {number}", number % 50 + 1))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/v1/backfill", {"stores": [store]}))
        await answer(reader)
        writer.close()


def state(process):
    threads = int(re.search(r"Threads:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text()).group(1))
    return resident(process), len(os.listdir(f"/proc/{process.pid}/fd")), threads


async def watch(process, begun, seconds):
    rows = []
    for tenth in range(11):
        await asyncio.sleep(max(0, begun + seconds * tenth / 10 - time.time()))
        rows.append(state(process))
        print(f"| {seconds * tenth / 10:.0f} | {rows[-1][0]:.1f} | {rows[-1][1]} | {rows[-1][2]} |", flush=True)
    return rows


async def run(options, process, port, file, store, model):
    counts = {"gone": 0}
    begun = time.time()
    end = begun + options.seconds
    clients = [client(port, requests(random.Random(i), model, store), end, options.pause, counts) for i in range(options.connections)]
    if not options.database:
        clients.append(edits(file, store, port, end))
    rows, *_ = await asyncio.gather(watch(process, begun, options.seconds), *clients)
    return rows, counts


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--nearlite", required=True)
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--pause", type=float, default=0.01)
    options.add_argument("database", nargs="?")
    options = options.parse_args()
    env = dict(os.environ, EMBEDDING_SCHEDULER_INTERVAL="60")
    with tempfile.TemporaryDirectory() as folder:
        file = options.database or os.path.join(folder, "soak.db")
        if not options.database:
            rng = random.Random(1)
            with sqlite3.connect(file) as db:
                db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)")
                db.executemany("INSERT INTO note(body) VALUES (?)", ((sentence(rng, 12),) for _ in range(2000)))
            subprocess.run([options.nearlite, "index", file, "--table", "note:body", "--yes", "--quiet"], check=True, env=env)
        with subprocess.Popen([options.nearlite, "serve", file, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True, env=env) as process:
            for line in process.stderr:
                if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)/", line):
                    port = int(found.group(1))
                    break
            while subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/readyz"], capture_output=True).returncode != 0:
                time.sleep(0.2)
            ask = lambda path: json.loads(subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}{path}"], capture_output=True, check=True).stdout)
            store, model = ask("/v1/stores")["stores"][0]["store"], ask("/v1/models")["data"][0]["id"]
            print("| s | resident MiB | descriptors | threads |\n|---:|---:|---:|---:|")
            rows, counts = asyncio.run(run(options, process, port, file, store, model))
            process.terminate()
            process.stderr.read()
            code = process.wait(60)
    good = sum(count for status, count in counts.items() if status in (200, 202))
    bad = {status: count for status, count in counts.items() if status not in (200, 202, "gone")}
    print(f"\n{good} answers, others {bad}, {counts['gone']} clients went away; exit {code}; "
          f"after the first tenth: {rows[-1][0] - rows[1][0]:+.1f} MiB, {rows[-1][1] - rows[1][1]:+d} descriptors, {rows[-1][2] - rows[1][2]:+d} threads")
    raise SystemExit(1 if bad or code else 0)


if __name__ == "__main__":
    main()
