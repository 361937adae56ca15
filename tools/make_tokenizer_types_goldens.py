#!/usr/bin/env python3
"""Makes src/text/testdata/tokenizer_types.json: a small tokenizer of every type, texts, and the ids that the reference
library gives them.

    pip install tokenizers==0.23.3
    python tools/make_tokenizer_types_goldens.py > src/text/testdata/tokenizer_types.json
"""

import json
import sys
from pathlib import Path

import tokenizers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import tokenizer_types  # noqa: E402
from tokenizer_parity import mixes  # noqa: E402
from tokenizer_types_parity import SENTENCES, WRITTEN  # noqa: E402

SMALL_MAP = {k: v for k, v in tokenizer_types.charsmap_rules().items() if len(k) > 1 or ord(k) < 0x250 or 0x2000 <= ord(k) < 0x2190
             or 0xFB00 <= ord(k) < 0xFB07}  # fmt: skip


def main():
    texts = ["", " ", *WRITTEN, *SENTENCES, "word " * 300, *mixes(12, 7)]
    tokenizer_types.charsmap_rules = lambda: SMALL_MAP
    cases = []
    for name, make in tokenizer_types.TYPES.items():
        content = tokenizer_types.saved(make([t for t in WRITTEN + SENTENCES if t] * 3), merges_as_text=name in ("roberta", "qwen"))
        reference = tokenizers.Tokenizer.from_str(content)
        cases.append({"name": name, "tokenizer": json.loads(content), "ids": [reference.encode(text).ids for text in texts]})
    json.dump({"made_with": f"tokenizers {tokenizers.__version__}", "texts": texts, "cases": cases}, sys.stdout, separators=(",", ":"), ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
