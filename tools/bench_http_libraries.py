"""The choice of docs/adr/0008: the smallest service on libmicrohttpd and on Boost.Beast (tests/bench/http), each with good clients among slow ones.

usage: bench_http_libraries.py [--compiler c++] [--slow 1000] [--seconds 5]    needs libmicrohttpd-dev, libboost-dev
"""

import argparse
import asyncio
import pathlib
import subprocess
import tempfile

from bench_service import load, resident, slow_client

HERE = pathlib.Path(__file__).resolve().parent.parent / "tests/bench/http"


def asks(_):
    while True:
        yield b"GET /v1/stores/note/records/7 HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def among_slow(port, count, seconds):
    stop = asyncio.Event()
    slow = [asyncio.create_task(slow_client(port, stop)) for _ in range(count)]
    await asyncio.sleep(1)
    good = await load(port, asks, 4, seconds)
    stop.set()
    return good, sorted(await asyncio.gather(*slow))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--compiler", default="c++")
    options.add_argument("--slow", type=int, default=1000)
    options.add_argument("--seconds", type=float, default=5)
    options = options.parse_args()
    print("| library | requests/s alone | p99 ms | requests/s among slow clients | p99 ms | slow ones end after, s (median, last) | MiB with them |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, libraries) in enumerate({"microhttpd": ["-lmicrohttpd"], "beast": ["-lpthread"]}.items()):
            program = f"{folder}/{name}"
            subprocess.run([options.compiler, "-O2", "-std=c++20", HERE / f"{name}_server.cpp", "-o", program, *libraries], check=True)
            port = 18700 + number
            with subprocess.Popen([program, str(port)], stdout=subprocess.PIPE) as server:
                server.stdout.readline()
                alone = asyncio.run(load(port, asks, 4, options.seconds))
                good, lasted = asyncio.run(among_slow(port, options.slow, options.seconds + 6))
                memory = resident(server)
                server.kill()
            print(f"| {name} | {alone['per_second']:,.0f} | {alone['p99'] * 1000:.1f} | {good['per_second']:,.0f} | {good['p99'] * 1000:.1f} | "
                  f"{lasted[len(lasted) // 2]:.1f}, {lasted[-1]:.1f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
