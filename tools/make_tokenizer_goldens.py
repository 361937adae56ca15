#!/usr/bin/env python3
"""Writes src/text/testdata/tokenizer_goldens.json: what the reference library makes of texts that C++ can make as well.

    pip install tokenizers==0.23.3
    python tools/make_tokenizer_goldens.py --model FOLDER > src/text/testdata/tokenizer_goldens.json

model_blocks: per block of code points a hash of the ids of the model's tokenizer for each of them, alone and as
"ab?cd". character_blocks: the same for tokenizers in which every code point of the BMP is a token, so that what the
normalizer did shows (most words are unknown to the model); one list per set of normalizer options. texts: literal
texts with their ids. tokenizer_golden_test.cpp reads it.
"""

import argparse
import json
import sys
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import tokenizer_parity  # noqa: E402

MAX_TOKENS = 256
LAST_BMP = 0xFFFF
BMP_BLOCK = 0x100  # code points that one hash covers
PLANE_BLOCK = 0x1000
OPTIONS = {  # clean_text, handle_chinese_chars, strip_accents, lowercase
    "uncased": (True, True, None, True),
    "cased": (True, True, None, False),
    "strip": (False, False, True, False),
    "lower": (False, True, False, True),
    "plain": (False, False, False, False),
}


def fnv(ids_of_texts):
    """64-bit FNV-1a over whole ids instead of bytes; the end of a text counts as id 0xFFFFFFFF."""
    value = 0xCBF29CE484222325
    for ids in ids_of_texts:
        for number in (*ids, 0xFFFFFFFF):
            value = (value ^ number) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def blocks():
    yield from ((first, BMP_BLOCK) for first in range(0, LAST_BMP, BMP_BLOCK))
    yield from ((first, PLANE_BLOCK) for first in range(LAST_BMP + 1, 0x110000, PLANE_BLOCK))


def block_hashes(tokenizer, last):
    hashes = []
    for first, size in blocks():
        if first > last:
            break
        texts = []
        for c in range(first, first + size):
            if not 0xD800 <= c <= 0xDFFF:
                texts += [chr(c), f"ab{chr(c)}cd"]
        hashes.append(fnv(encoding.ids for encoding in tokenizer.encode_batch_fast(texts)))
    return hashes


def character_tokenizer(options):
    clean, chinese, strip, lower = options
    characters = [chr(c) for c in range(1, LAST_BMP + 1) if not 0xD800 <= c <= 0xDFFF]
    tokens = ["[UNK]", *characters, *("##" + c for c in characters)]
    return Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "decoder": None,
        "normalizer": {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese,
                       "strip_accents": strip, "lowercase": lower},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {token: i for i, token in enumerate(tokens)}}}))  # fmt: skip


def literal_texts():
    texts = [text for text in tokenizer_parity.special_cases() if len(text) < 1000]
    texts += [text for text in tokenizer_parity.mixes(420, seed=3) if len(text) < 300]
    return texts + [
        "The quick brown fox jumps over the lazy dog.", "GNU Bourne Again SHell", "libssl-dev: Secure Sockets Layer toolkit",
        "Ελληνικά, русский, עברית, العربية, हिन्दी, ไทย, 한국어, 日本語, 中文", "Tiếng Việt có dấu", "ﬀ ﬁ ﬂ ﬃ", "H₂O x² ½ ™ ℃",
        "https://example.org/a_b?c=d&e=f#g", "user@example.org", "int main() { return 0; }", "½ cup", "naïve café résumé",
    ]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path, help="a folder with tokenizer.json (all-MiniLM-L6-v2)")
    args = parser.parse_args()
    model = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    model.no_padding()
    model.no_truncation()
    goldens = {
        "made_with": f"tokenizers {tokenizers.__version__}",
        "max_tokens": MAX_TOKENS,
        "model_blocks": block_hashes(model, 0x10FFFF),
        "character_blocks": {
            name: block_hashes(character_tokenizer(options), LAST_BMP) for name, options in OPTIONS.items()
        },
    }
    texts = literal_texts()
    goldens["texts"] = []
    for text, encoding in zip(texts, model.encode_batch_fast(texts)):
        ids = encoding.ids
        truncated = len(ids) > MAX_TOKENS
        if truncated:
            ids = [*ids[: MAX_TOKENS - 1], ids[-1]]
        goldens["texts"].append([text, ids, truncated])
    print("{")
    for name, value in goldens.items():
        if name == "texts":
            print('"texts": [\n' + ",\n".join(json.dumps(item, separators=(",", ":")) for item in value) + "\n]}")
        else:
            print(f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))},")
    return 0


if __name__ == "__main__":
    sys.exit(main())
