"""Load on nearlite serve: questions from many connections, embeddings, and good clients among slow ones.

The load generator runs on the same processors. usage: bench_service.py --nearlite PROGRAM --model FOLDER [--records N] [--seconds S]
"""

import argparse
import asyncio
import json
import os
import random
import re
import sqlite3
import subprocess
import tempfile
import time

WORDS = ("disk printer network password upload server database invoice train garden recipe tomato window engine river mountain "
         "music painting doctor contract budget meeting holiday garage battery camera keyboard screen light water").split()


def sentence(rng, words):
    return " ".join(rng.choice(WORDS) for _ in range(words))


def start(program, model, folder, records):
    file = os.path.join(folder, "bench.db")
    rng = random.Random(1)
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO note(body) VALUES (?)", ((f"{sentence(rng, 6)} {i}",) for i in range(records)))
    env = dict(os.environ, NEARLITE_MODEL=model, EMBEDDING_SCHEDULER_INTERVAL="0")
    subprocess.run([program, "index", file, "--table", "note:body", "--yes", "--quiet"], check=True, env=env)
    server = subprocess.Popen([program, "serve", file, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True, env=env)
    for line in server.stderr:
        if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)/", line):
            return server, int(found.group(1))
    raise SystemExit("the service did not start")


def request(path, body, close=False):
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return head.encode() + (b"Connection: close\r\n" if close else b"") + b"\r\n" + data


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
    await reader.readexactly(length)
    return int(head[9:12])


async def client(port, bodies, end, times, statuses):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (begun := time.perf_counter()) < end:
        writer.write(next(bodies))
        statuses.append(await answer(reader))
        times.append(time.perf_counter() - begun)
    writer.close()


async def load(port, bodies, connections, seconds):
    times, statuses = [], []
    begun = time.perf_counter()
    await asyncio.gather(*(client(port, bodies(i), begun + seconds, times, statuses) for i in range(connections)))
    wall = time.perf_counter() - begun
    times.sort()
    return {"per_second": len(times) / wall, "p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)],
            "errors": sum(status != 200 for status in statuses)}


def questions(i):
    rng = random.Random(i)
    while True:
        yield request("/v1/search", {"query": sentence(rng, 4), "k": 10})


def embeddings(size):
    def bodies(i):
        rng = random.Random(i)
        while True:
            texts = [sentence(rng, 12) for _ in range(size)]
            yield request("/v1/embeddings", {"model": "bench", "input": texts, "encoding_format": "base64"})
    return bodies


async def slow_client(port, stop):
    """One byte every half second, until it is thrown out."""
    begun = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"y" * 1000:
            writer.write(bytes([byte]))
            try:
                if not await asyncio.wait_for(reader.read(4096), 0.5):
                    break
            except TimeoutError:
                if stop.is_set():
                    break
        writer.close()
    except OSError:
        pass
    return time.perf_counter() - begun


def health(_):
    while True:
        yield b"GET /v1/stores/note/records/7 HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def slow(port, count, seconds):
    stop = asyncio.Event()
    slow_ones = [asyncio.create_task(slow_client(port, stop)) for _ in range(count)]
    await asyncio.sleep(1)
    good = await load(port, health, 4, seconds)
    stop.set()
    lasted = sorted(await asyncio.gather(*slow_ones))
    return good, lasted[-1]


def row(name, figures):
    print(f"| {name} | {figures['per_second']:,.0f} | {figures['p50'] * 1000:.1f} | {figures['p99'] * 1000:.1f} | {figures['errors']} |", flush=True)


def resident(process):
    with open(f"/proc/{process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--nearlite", required=True)
    options.add_argument("--model", required=True)
    options.add_argument("--records", type=int, default=10_000)
    options.add_argument("--seconds", type=float, default=8)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, port = start(options.nearlite, options.model, folder, options.records)
        name = json.loads(subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/v1/models"], capture_output=True, check=True).stdout)["data"][0]["id"]
        global request
        plain = request
        request = lambda path, body, close=False: plain(path, {**body, "model": name} if "model" in body else body, close)  # noqa: E731
        try:
            print(f"{options.records:,} records, {os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} before\n")
            print("| requests | per second | p50 ms | p99 ms | errors |\n|---|---:|---:|---:|---:|")
            asyncio.run(load(port, questions, 4, 1))
            for connections in (1, 8, 64):
                row(f"questions, {connections} connections", asyncio.run(load(port, questions, connections, options.seconds)))
            before = resident(server)
            row("embeddings of 1 text, 32 connections", asyncio.run(load(port, embeddings(1), 32, options.seconds)))
            batch = asyncio.run(load(port, embeddings(64), 2, options.seconds))
            row("embeddings of 64 texts, 2 connections", batch)
            print(f"\n64 texts at a time: {batch['per_second'] * 64:,.0f} texts per second")
            good, longest = asyncio.run(slow(port, 1000, options.seconds))
            print(f"\n| among 1,000 slow clients | per second | p50 ms | p99 ms | errors |\n|---|---:|---:|---:|---:|")
            row("single records, 4 connections", good)
            print(f"\nthe slowest client was sent away after {longest:.1f} s; resident memory {before:.0f} MiB before, {resident(server):.0f} MiB after")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
