#!/usr/bin/env python3
"""Makes src/service/model_reference.cpp: what `nearlite model verify` compares a model with.

  tools/make_model_reference.py [--goldens src/encoder/testdata] > src/service/model_reference.cpp

Takes some short texts and their vectors from the encoder's goldens (made by tools/make_encoder_goldens.py with
sentence-transformers, fp32). Components are rounded to 1/32767, which changes no cosine by more than 1e-8.
"""

import argparse
import array
import json
import pathlib

TEXTS = [
    "hello", "Hello, World!", "upload failed", "how do I reset my password", "the quick brown fox jumps over the lazy dog",
    "timeout while reading from socket 127.0.0.1:8080", "SELECT name, count(*) FROM users WHERE id = 42 GROUP BY 1;",
    "naïve café résumé coöperate", "Привет, мир! Как дела?", "你好,世界", "emoji 😀 in 👍🏽 the 🇩🇪 text",
    "SQLITE_BUSY: database is locked", "", "?!",
    "Workflow: fetch mail, classify it, open a ticket, notify the owner",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
]


def c_string(text: str) -> str:
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode()) + '"'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goldens", type=pathlib.Path, default=pathlib.Path("src/encoder/testdata"))
    arguments = parser.parse_args()
    texts = json.loads((arguments.goldens / "goldens.json").read_text())["texts"]
    texts = [text if isinstance(text, str) else text["text"] for text in texts]
    values = array.array("f", (arguments.goldens / "goldens.f32").read_bytes())
    dim = len(values) // len(texts)
    print("// Made by tools/make_model_reference.py; do not edit.")
    print('#include "model_reference.h"\n')
    print("namespace nearlite {\nnamespace {\n")
    print("// clang-format off")
    print(f"constexpr std::array<ReferenceText, {len(TEXTS)}> kTexts = {{{{")
    for text in TEXTS:
        at = texts.index(text)
        print(f"  {{{c_string(text)}, {{{{")
        row = [round(value * 32767) for value in values[at * dim:(at + 1) * dim]]
        for begin in range(0, dim, 24):
            print("    " + ",".join(map(str, row[begin:begin + 24])) + ",")
        print("  }}},")
    print("}};\n// clang-format on\n")
    print("}  // namespace\n")
    print("std::span<const ReferenceText> all_minilm_l6_v2_reference() { return kTexts; }\n")
    print("}  // namespace nearlite")


if __name__ == "__main__":
    main()
