#!/usr/bin/env python3
"""Makes src/encoder/testdata/goldens.json and goldens.f32: texts and the vectors that sentence-transformers gives them.

Needs torch and sentence-transformers (made with 6.2.0, fp32, one text per batch so that no padding is involved).

  tools/make_encoder_goldens.py --model DIR --descriptions FILE [--out src/encoder/testdata]

--descriptions: real texts, one per line (package descriptions of Debian); some are picked with a fixed seed.
goldens.json holds the texts, their numbers of tokens and the maker's versions; goldens.f32 holds the vectors, [texts, 384] little-endian
float32, in the same order.
"""

import argparse
import json
import pathlib
import random

import numpy
import sentence_transformers
import torch

NUM_DESCRIPTIONS = 130

WRITTEN = [
    "", " ", "\n", "\t \r\n", "a", "A", "é", ".", "?!", "0", "3.14159", "[CLS]", "[SEP]", "[MASK] me", "[UNK]", "##ing",
    "hello", "Hello, World!", "HELLO WORLD", "upload failed", "disk is full", "cannot open shared object file",
    "how do I reset my password", "How do I reset my password?", "the quick brown fox jumps over the lazy dog",
    "timeout while reading from socket 127.0.0.1:8080", "SELECT name, count(*) FROM users WHERE id = 42 GROUP BY 1;",
    "if (x < 0 && y >= 1) { return a[i]->b; } // comment", "https://example.org/a/b?c=d&e=f#g", "user@example.org",
    "C:\\Windows\\System32\\drivers\\etc\\hosts", "/usr/lib/x86_64-linux-gnu/libc.so.6", "2026-11-20T13:24:05.120Z",
    "naïve café résumé coöperate", "Ångström über straße", "ΟΔΟΣ και ΣΊΣΥΦΟΣ", "Привет, мир! Как дела?", "שלום עולם",
    "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "你好,世界", "机器学习模型可以把文本转换成向量", "日本語のテキストを検索する", "データベースに接続できません",
    "한국어 문장을 검색합니다", "Tiếng Việt có dấu", "İstanbul'da ışık", "ﬁne ﬂow ½ ² ™ ①", "emoji 😀 in 👍🏽 the 🇩🇪 text", "👨‍👩‍👧‍👦",
    "🚀🚀🚀", "zero\u200bwidth\u200djoiner\ufeff", "bell\u0007 and \u0000 null and \u001b escape", "line\u2028separator\u2029paragraph",
    "vertical\u000btab and form\u000cfeed and next\u0085line", "soft\u00adhyphen no\u00a0break", "\ufffd replacement", "\ue000 private use",
    "combining e\u0301 o\u0308 n\u0303", "a" * 99, "b" * 100, "c" * 101, "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "pneumonoultramicroscopicsilicovolcanoconiosis", "- - - -", "... --- ...", "$100 + 20% = €120 <tag> ^~`|", "word " * 30,
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
    "I love this product, it works perfectly.", "I hate this product, it never works.", "Ich liebe dieses Produkt.",
    "Retry the request after refreshing the access token.", "Add pagination to the search results page",
    "Workflow: fetch mail, classify it, open a ticket, notify the owner", "SQLITE_BUSY: database is locked",
    "EACCES (13): Permission denied", "systemd-timesyncd.service: network time synchronization",
    # Longer than the 256 tokens that the model reads.
    "This sentence is repeated until the text is longer than the model reads. " * 40, "数据库" * 120, "x y z " * 200,
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--descriptions", required=True, type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("src/encoder/testdata"))
    arguments = parser.parse_args()

    lines = [line for line in arguments.descriptions.read_text().splitlines() if line]
    picked = random.Random(20261120).sample(lines, NUM_DESCRIPTIONS)
    # A third whole, the others their beginning: short texts are what a query looks like, and they keep the test fast.
    texts = WRITTEN + [text if i % 3 == 0 else text[: 40 + 3 * i] for i, text in enumerate(picked)]

    torch.set_num_threads(1)
    model = sentence_transformers.SentenceTransformer(arguments.model, device="cpu", backend="torch")
    model.float()
    vectors = numpy.stack([model.encode([text], batch_size=1, convert_to_numpy=True)[0] for text in texts])
    assert vectors.dtype == numpy.float32 and numpy.isfinite(vectors).all()
    tokens = [int(model.preprocess([text])["attention_mask"].sum()) for text in texts]
    whole = [len(model.tokenizer(text, truncation=False)["input_ids"]) for text in texts]
    truncated = sum(length > model.max_seq_length for length in whole)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "goldens.f32").write_bytes(vectors.astype("<f4").tobytes())
    content = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "made_with": f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}, fp32",
        "dim": int(vectors.shape[1]),
        "tokens": tokens,
        "truncated": truncated,
        "texts": texts,
    }
    (arguments.out / "goldens.json").write_text(json.dumps(content, ensure_ascii=True, indent=0) + "\n")
    print(f"{len(texts)} texts, {sum(tokens)} tokens, {vectors.nbytes} bytes of vectors")


if __name__ == "__main__":
    main()
