#!/usr/bin/env python3
"""Compares the token ids of the program nearlite with those of the reference library, on the same tokenizer.json.

    pip install tokenizers==0.23.3
    python tests/tokenizer_parity.py --nearlite build/release/bin/nearlite --model FOLDER [--max-tokens 256]

The texts: package descriptions of this machine where it has them, every code point of the BMP alone and between
letters, and seeded mixes of what is known to be difficult. Exit 0: all are equal; 1: the first differences are shown;
2: the comparison could not be made.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

SHOWN_DIFFERENCES = 10


def package_descriptions(limit):
    """Descriptions of the packages that this machine knows, or none where there is no apt."""
    try:
        run = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return []
    texts = []
    for record in run.stdout.decode("utf-8", "replace").split("\n\n"):
        found = re.search(r"^Description(?:-en)?: (.*(?:\n .*)*)", record, re.MULTILINE)
        name = re.search(r"^Package: (.*)", record, re.MULTILINE)
        if found and name:
            texts.append(f"{name.group(1)}: {found.group(1)}")
    return texts[:limit]


def code_points():
    for c in range(0x10000):
        if not 0xD800 <= c <= 0xDFFF:
            yield chr(c)
            yield f"ab{chr(c)}cd"


WORDS = ["hello", "World", "unaffable", "naïve", "ΟΔΟΣ", "İstanbul", "straße", "ﬁne", "Ünïcödé", "한국어", "日本語", "中文字",
         "ไทย", "العربية", "हिन्दी", "don't", "e-mail", "C++20", "x86_64", "3.14159", "\u212b", "e\u0301", "a\u0323\u0307",
         "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "\U0001d538", "[SEP]", "[CLS]", "[MASK]", "[mask]", "[UNK]", "[PAD]", "[SEP", "##ing", "a" * 99, "b" * 100,
         "c" * 101, "é" * 100, "ä" * 101, "x" * 1000]  # fmt: skip
GLUE = [" ", "  ", "\n", "\t", "\r\n", "", "", ".", ", ", "-", "\u00a0", "\u2028", "\u3000", "\x0b", "\x0c", "\x85", "\u200b", "\u200d",
        "\ufeff", "\ufffd", "\x00", "\x1f", "\u00ad", "\u302e\u302f", "\U000e0001", "$", "€", "±", "_", "`", "¿"]  # fmt: skip
PLANES = [(0x20, 0x7F), (0x80, 0x600), (0x600, 0x2000), (0x2000, 0x3100), (0x3100, 0xD800), (0xE000, 0x10000),
          (0x10000, 0x12000), (0x1D000, 0x20000), (0x20000, 0x32000), (0xE0000, 0x110000)]  # fmt: skip
MARKS = [0x300, 0x301, 0x323, 0x345, 0x334, 0x93C, 0x94D, 0x1DFB, 0x302E, 0x302F, 0x8D4, 0x1B44, 0x1DF6, 0x1D165, 0x1D16D,
         0x200D, 0x3099, 0x903, 0x20DD, 0x34F, 0xA953, 0x116B6]  # fmt: skip


def mixes(count, seed):
    random_ = random.Random(seed)

    def characters(low, high, n):
        picked = (random_.randrange(low, high) for _ in range(n))
        return "".join(chr(c) for c in picked if not 0xD800 <= c <= 0xDFFF)

    def part():
        kind = random_.random()
        if kind < 0.4:
            return random_.choice(WORDS)
        if kind < 0.7:
            return characters(*random_.choice(PLANES), random_.randrange(1, 8))
        if kind < 0.8:
            return "a" + "".join(chr(random_.choice(MARKS)) for _ in range(random_.randrange(1, 7)))
        if kind < 0.9:
            return characters(0x61, 0x7B, random_.randrange(1, 30))
        return random_.choice(WORDS)[: random_.randrange(1, 5)]

    for _ in range(count):
        parts = []
        for _ in range(random_.choice([1, 2, 4, 8, 60])):
            parts += [part(), random_.choice(GLUE)]
        yield "".join(parts)


def special_cases():
    yield from ["", " ", "\n\n", "\x00", "\ufeff", "[SEP]", "a[SEP]b", " [MASK] ", "[CLS] [SEP]", "." * 600, "a " * 300]
    yield from ["a" * n for n in (15, 16, 17, 31, 32, 33, 254, 255, 256, 257)]
    yield from ["word " * n for n in (253, 254, 255, 256)]
    yield "a" + "\u0301" * 20_000
    yield "a" + "\u302e" * 99 + " b" + "\u302f\u302e" * 51
    yield "中" * 300


def ids_of_program(program, model, texts):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="ascii") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
        file.flush()
        run = subprocess.run([program, "model", "tokenize", str(model), file.name], capture_output=True, text=True)
    if run.returncode != 0:
        print(f"{program} ended with {run.returncode}: {run.stderr.strip()[:2000]}", file=sys.stderr)
        sys.exit(2)
    return [json.loads(line) for line in run.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearlite", required=True, help="the program")
    parser.add_argument("--model", required=True, type=Path, help="a model folder with tokenizer.json")
    parser.add_argument("--max-tokens", type=int, default=256, help="tokens that the model reads")
    parser.add_argument("--descriptions", type=int, default=20_000, help="package descriptions at most")
    parser.add_argument("--mixes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    reference = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    reference.no_padding()
    reference.no_truncation()
    specials = reference.num_special_tokens_to_add(False)

    texts = [*special_cases(), *package_descriptions(args.descriptions), *code_points(), *mixes(args.mixes, args.seed)]
    got = ids_of_program(args.nearlite, args.model, texts)
    if len(got) != len(texts):
        print(f"{len(got)} lines came back for {len(texts)} texts", file=sys.stderr)
        return 2

    num_different = 0
    for start in range(0, len(texts), 1000):
        batch = texts[start : start + 1000]
        whole = reference.encode_batch_fast(batch)  # not truncated: that tells whether there was more
        for text, encoding, ours in zip(batch, whole, got[start:]):
            ids = encoding.ids
            truncated = len(ids) > args.max_tokens
            if truncated:
                content = ids[1:-1] if specials == 2 else reference.encode(text, add_special_tokens=False).ids
                ids = ids[:1] + content[: args.max_tokens - specials] + ids[-1:]
            if ours["ids"] == ids and ours["truncated"] == truncated:
                continue
            num_different += 1
            if num_different <= SHOWN_DIFFERENCES:
                print(f"text      {json.dumps(text)[:500]}\n"
                      f"reference {ids} truncated {truncated}\n"
                      f"nearlite  {ours['ids']} truncated {ours['truncated']}\n")  # fmt: skip
    print(f"{len(texts)} texts, {num_different} different (tokenizers {__import__('tokenizers').__version__}, seed {args.seed})")
    return 1 if num_different else 0


if __name__ == "__main__":
    sys.exit(main())
