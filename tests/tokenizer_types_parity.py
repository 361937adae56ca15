#!/usr/bin/env python3
"""Compares the token ids of the program nearlite with those of the reference library for every type of tokenizer.

    pip install tokenizers==0.23.3
    python tests/tokenizer_types_parity.py --nearlite build/release/bin/nearlite [--texts 100000] [--only roberta]

The tokenizers are trained here, on texts of this machine; --file compares with a tokenizer.json instead. Exit codes as
tokenizer_parity.py.
"""

import argparse
import base64
import itertools
import json
import random
import struct
import sys
import tempfile
from pathlib import Path

import tokenizer_types
from tokenizer_parity import code_points, ids_of_program, mixes, package_descriptions, special_cases
from tokenizers import Tokenizer, __version__

SHOWN_DIFFERENCES = 5
MAX_TOKENS = 256

WRITTEN = [
    "New York", "new york is New York, not NewYork", "ﬁx the ﬁxture", "it's IT'S we'll WE'LL you'ſ", "<mask>", "a <mask> b", "a<mask>b",
    "<s>hello</s>", "<unk> token", "|||IP||| here", "a  b   c    d" + " " * 30 + "e", "trailing   ", "   leading", "\n\n\n", "\r\n\r\n a",
    "12345 678 9", "x86  64 and x86, xx86", "c++ c+++", "▁▁a ▁b", "a▁b", "½ ¼x ⅓", "Ａｂｃ １２３", "①②③", "e\u0301e\u0301\u0301", "\u0600a \u0600\u0301",
    "क्षत्रिय क्ष\u0301", "❤\u200d❤\u0301", "가각힣 \u1100\u1161\u11a8 \u1100\u1161\u0301", "a\u20dd\u0301", "é\u20dd", "あ\u0301い\u3099", "\r\u0301\n", "’ ‘quote’ “double”",
    "<0x41>", "don't_do", "foo.bar@baz.com http://x.y/z?a=b&c=%20", "snake_case camelCase kebab-case", "``quoted''", "\u00a0\u2009x\u3000y",
]  # fmt: skip

SENTENCES = [
    "Der schnelle braune Fuchs springt über den faulen Hund.", "Le cœur a ses raisons que la raison ne connaît point.",
    "Быстрая коричневая лиса прыгает через ленивую собаку.", "Η γρήγορη καφέ αλεπού πηδά πάνω από το τεμπέλικο σκυλί.",
    "الثعلب البني السريع يقفز فوق الكلب الكسول.", "השועל החום המהיר קופץ מעל הכלב העצלן.", "敏捷的棕色狐狸跳过了懒狗。",
    "素早い茶色の狐がのろまな犬を飛び越える。", "빠른 갈색 여우가 게으른 개를 뛰어넘는다.", "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर से कूदती है।",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ", "Con cáo nâu nhanh nhẹn nhảy qua con chó lười biếng.", "Szybki brązowy lis przeskakuje nad leniwym psem.",
]  # fmt: skip


def training_texts(descriptions):
    return descriptions[:800] + SENTENCES * 20


def folder_of(content, place):
    """A folder that has a tokenizer, and of a model as much as it takes to read it."""
    (place / "tokenizer.json").write_text(content, encoding="utf-8")
    (place / "config.json").write_text(json.dumps({
        "model_type": "bert", "hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 8,
        "vocab_size": 1_000_000, "max_position_embeddings": MAX_TOKENS, "type_vocab_size": 1}))  # fmt: skip
    (place / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    return place


def expected(reference, text):
    """Ids and whether there were more, at most MAX_TOKENS."""
    whole = reference.encode(text).ids
    if len(whole) <= MAX_TOKENS:
        return whole, False
    content = reference.encode(text, add_special_tokens=False).ids
    empty = reference.encode("").ids
    before = 0 if content[:1] == whole[:1] and (not empty or whole[0] != empty[0]) else len(empty) - len(empty) // 2
    if len(empty) == 1:
        before = 0 if whole[-1] == empty[0] and whole[: len(content)] == content else 1
    return whole[:before] + content[: MAX_TOKENS - len(empty)] + whole[before + len(content) :], True


def compare(name, content, texts, program):
    reference = Tokenizer.from_str(content)
    reference.no_padding()
    reference.no_truncation()
    with tempfile.TemporaryDirectory() as place:
        got = ids_of_program(program, folder_of(content, Path(place)), texts)
    if len(got) != len(texts):
        print(f"{name}: {len(got)} lines came back for {len(texts)} texts", file=sys.stderr)
        return 1
    num_different = num_truncated = 0
    for text, ours in zip(texts, got):
        ids, truncated = expected(reference, text)
        num_truncated += truncated
        if ours["ids"] == ids and ours["truncated"] == truncated:
            continue
        num_different += 1
        if num_different <= SHOWN_DIFFERENCES:
            print(f"{name}\ntext      {json.dumps(text)[:500]}\nreference {str(ids)[:600]} truncated {truncated}\n"
                  f"nearlite  {str(ours['ids'])[:600]} truncated {ours['truncated']}\n")  # fmt: skip
    print(f"{name}: {len(texts)} texts, {num_truncated} longer than {MAX_TOKENS} tokens, {num_different} different", flush=True)
    return num_different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearlite", required=True, help="the program")
    parser.add_argument("--texts", type=int, default=100_000, help="texts per type")
    parser.add_argument("--only", help="one type")
    parser.add_argument("--file", type=Path, help="a tokenizer.json to compare with instead")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    descriptions = package_descriptions(40_000)
    random_ = random.Random(args.seed)
    long_ones = [" ".join(random_.choices(descriptions or SENTENCES, k=40)) for _ in range(min(100, args.texts // 100))]
    points = list(code_points())
    random_.shuffle(points)
    fixed = [*special_cases(), *WRITTEN, *SENTENCES, *long_ones]
    shares = [descriptions[3000:] or SENTENCES, points, list(mixes(args.texts // 3, args.seed))]
    texts = fixed + [text for text in itertools.chain(*(share[: args.texts // 3] for share in shares))]
    texts = texts[: args.texts]

    num_different = 0
    if args.file:
        num_different = compare(args.file.name, args.file.read_text(), texts, args.nearlite)
    else:
        for name, make in tokenizer_types.TYPES.items():
            if args.only in (None, name):
                tokenizer = make(training_texts(descriptions))
                content = tokenizer_types.saved(tokenizer, merges_as_text=name in ("roberta", "qwen"))
                num_different += compare(name, content, texts, args.nearlite)
    print(f"{num_different} different (tokenizers {__version__}, seed {args.seed})")
    return 1 if num_different else 0


if __name__ == "__main__":
    sys.exit(main())
