#!/usr/bin/env python3
"""Measures our encoder beside sentence-transformers, in turns, and prints the ratios.

  tools/bench_encoder_peers.py --texts FILE --model DIR [--bench build/release/bin/nearlite_encoder_bench] [--rounds 3]

FILE: one text per line, the first 1,500 are used. Both sides read the same slices of 25 texts; rounds are taken in turns, since a busy
machine changes from minute to minute, and the best round of each side counts. "per processor second" counts the time that a
process really ran. Prints one JSON object per figure. What is not
installed is left out, and said. ONNX Runtime is measured by bench_peers.py.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

SLICE = 25
QUESTION = "how do I resize a picture on the command line"


class SentenceTransformers:
    name = "sentence-transformers fp32"

    def __init__(self, model: str, threads: int):
        import sentence_transformers
        import torch

        torch.set_num_threads(threads)
        self.model = sentence_transformers.SentenceTransformer(model, device="cpu", local_files_only=True).float()
        self.threads, self.torch = threads, torch

    def encode(self, texts: list[str]) -> None:
        self.torch.set_num_threads(self.threads)
        self.model.encode(texts, batch_size=32, show_progress_bar=False)

    def count(self, texts: list[str]) -> int:
        return int(self.model.preprocess(texts)["attention_mask"].sum())


def peer_figures(peer, texts: list[str], seconds: float) -> dict[str, float]:
    slices = [texts[i : i + SLICE] for i in range(0, len(texts), SLICE)]
    tokens = [peer.count(part) for part in slices]
    peer.encode(texts[:8])
    best, spent, busy, done, i = 0.0, 0.0, 0.0, 0, 0
    while spent < seconds:
        begin, cpu = time.perf_counter(), time.process_time()
        peer.encode(slices[i % len(slices)])
        took, ran = time.perf_counter() - begin, time.process_time() - cpu
        best = max(best, tokens[i % len(slices)] / took)
        spent, busy, done, i = spent + took, busy + ran, done + tokens[i % len(slices)], i + 1
    times = []
    for _ in range(40):
        begin = time.perf_counter()
        peer.encode([QUESTION])
        times.append((time.perf_counter() - begin) * 1e3)
    return {
        f"encode, {peer.threads} threads": done / spent,
        f"encode, best slice, {peer.threads} threads": best,
        f"encode, per processor second, {peer.threads} threads": done / busy,
        f"one question, median, {peer.threads} threads": statistics.median(times),
        f"one question, best, {peer.threads} threads": min(times),
    }


def our_figures(bench: str, texts: str, model: str, seconds: float) -> dict[str, float]:
    output = subprocess.run([bench, texts, model, str(seconds)], check=True, capture_output=True, text=True).stdout
    figures = {}
    for line in map(json.loads, output.splitlines()):
        threads = 2 if "2 threads" in line["shape"] else 1
        figures[f"{line['figure']}, {threads} threads"] = line["value"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--bench", default="build/release/bin/nearlite_encoder_bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    texts = pathlib.Path(arguments.texts).read_text().splitlines()[:1500]
    try:
        peers = [SentenceTransformers(arguments.model, threads) for threads in (1, 2)]
    except ImportError as error:
        print(f"sentence-transformers is not measured: {error}", file=sys.stderr)
        peers = []
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for figures, into in [(our_figures(arguments.bench, arguments.texts, arguments.model, arguments.seconds), ours)] + [
            (peer_figures(peer, texts, arguments.seconds), theirs) for peer in peers
        ]:
            for name, value in figures.items():
                into.setdefault(name, []).append(value)

    def best(name: str, values: list[float]) -> float:
        return max(values) if name.startswith("encode") else min(values)

    for name, values in ours.items():
        figure = {"figure": name, "unit": "tokens/s" if name.startswith("encode") else "ms", "nearlite": best(name, values)}
        if name in theirs:
            figure[SentenceTransformers.name] = best(name, theirs[name])
            ratio = figure["nearlite"] / figure[SentenceTransformers.name]
            figure["ratio"] = round(ratio if name.startswith("encode") else 1 / ratio, 2)
        print(json.dumps(figure))


if __name__ == "__main__":
    main()
