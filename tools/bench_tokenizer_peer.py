#!/usr/bin/env python3
"""Times the reference library beside nearlite_text_bench, on the same texts and one thread each.

    pip install tokenizers==0.23.3
    python tools/bench_tokenizer_peer.py --bench build/release/bin/nearlite_text_bench --model FOLDER [TEXTS]

TEXTS: one text per line, or {"text": ...} per line; by default the descriptions of the installed packages.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # read by the library when it is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402

MAX_TOKENS = 256


def package_descriptions():
    status = Path("/var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"^Description: (.*(?:\n .*)*)", status, re.MULTILINE)
    return [re.sub(r"\n (?:\.$)?", "\n", text, flags=re.MULTILINE) for text in found]


def texts_of_file(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] if line.startswith("{") else line for line in lines]


def best_seconds(work, runs=5):
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="nearlite_text_bench")
    parser.add_argument("--model", required=True, type=Path, help="a model folder with tokenizer.json")
    parser.add_argument("texts", nargs="?", type=Path)
    args = parser.parse_args()
    texts = texts_of_file(args.texts) if args.texts else package_descriptions()
    num_bytes = sum(len(text.encode()) for text in texts)

    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="ascii") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
        file.flush()
        ours = subprocess.run([args.bench, str(args.model), file.name], capture_output=True, text=True, check=True).stdout
    print(ours)

    path = str(args.model / "tokenizer.json")
    reference = tokenizers.Tokenizer.from_file(path)
    reference.no_padding()
    print(f"tokenizers {tokenizers.__version__}, encode_batch_fast, the same texts, one thread, processor time, best of 5")
    print(f"{'load':44} {best_seconds(lambda: tokenizers.Tokenizer.from_file(path)) * 1e3:10.3f} ms")
    rates = {}
    for what, limit in (("texts, cut at 256 tokens", MAX_TOKENS), ("texts, not cut", None)):
        reference.enable_truncation(limit) if limit else reference.no_truncation()
        tokens = sum(len(encoding.ids) for encoding in reference.encode_batch_fast(texts))
        seconds = best_seconds(lambda: reference.encode_batch_fast(texts))
        rates[what] = num_bytes / seconds / 1e6
        print(f"{what:44} {seconds * 1e3:10.3f} ms {rates[what]:9.1f} MB/s {tokens / seconds / 1e6:9.2f} M tokens/s")
    for what, rate in rates.items():
        own = float(re.search(re.escape(what) + r" +[\d.]+ ms +([\d.]+) MB/s", ours).group(1))
        print(f"nearlite is {own / rate:.1f} times as fast: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
