#!/usr/bin/env python3
"""Runs `nearlite embed --precision fp32` over the recorded texts and compares with the vectors of sentence-transformers.

usage: embed_goldens.py NEARLITE MODEL-FOLDER TESTDATA-FOLDER
TESTDATA-FOLDER holds goldens.json and goldens.f32 of tools/make_encoder_goldens.py. Every line must have a cosine of at
least 0.999999 and no component more than 1e-5 away. Two ways in: lines of JSON, and plain lines for texts without line ends.
"""

import json
import pathlib
import subprocess
import sys

import numpy


def embed(nearlite, model, lines):
    run = subprocess.run([nearlite, "embed", "-", "--model", model, "--precision", "fp32"], input="".join(lines).encode(),
                         capture_output=True)
    if run.returncode:
        sys.exit(f"embed_goldens: exit {run.returncode}: {run.stderr.decode().strip()}")
    return numpy.array([json.loads(line) for line in run.stdout.decode().splitlines()], dtype=numpy.float64)


def compare(what, found, wanted):
    if found.shape != wanted.shape:
        sys.exit(f"embed_goldens: {what}: {found.shape} vectors, wanted {wanted.shape}")
    cosine = (found * wanted).sum(1) / (numpy.linalg.norm(found, axis=1) * numpy.linalg.norm(wanted, axis=1))
    error = abs(found - wanted).max(1)
    print(f"{what}: {len(wanted)} texts, smallest cosine {cosine.min():.9f}, largest component error {error.max():.2e}")
    if not (cosine.min() >= 0.999999 and error.max() <= 1e-5):
        sys.exit(f"embed_goldens: {what}: text {int(cosine.argmin())} or {int(error.argmax())} is too far away")


def main():
    nearlite, model, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    goldens = json.loads((folder / "goldens.json").read_text())
    texts = [item["text"] if isinstance(item, dict) else item for item in goldens["texts"]]
    wanted = numpy.fromfile(folder / "goldens.f32", dtype="<f4").astype(numpy.float64).reshape(len(texts), -1)
    compare("as JSON", embed(nearlite, model, [json.dumps({"text": text}) + "\n" for text in texts]), wanted)
    plain = [i for i, text in enumerate(texts) if text.strip() and not set(text) & set("\n\r\0") and text[0] != "{"]
    compare("as plain lines", embed(nearlite, model, [texts[i] + "\n" for i in plain]), wanted[plain])


if __name__ == "__main__":
    main()
