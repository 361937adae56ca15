#!/usr/bin/env python3
"""Scores the vectors of `nearlite embed` on evaluation sets, per precision, beside those of the reference (./dev bench quality).

usage: bench_quality.py NEARLITE MODEL-FOLDER --data DIR [--precision P ...] [--set NAME ...]
DIR holds retrieval sets, each a folder with corpus.jsonl.gz (_id, title, text), queries.jsonl.gz (_id, text) and
qrels/test.tsv (query-id, corpus-id, score), and similarity sets, each a NAME.tsv.gz (score, sentence1, sentence2, part).
Retrieval: nDCG@10, recall@100 and MRR@10 by cosine, as trec_eval defines them. Similarity: Spearman's correlation. All in percent.
"""

import argparse
import gzip
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy

# all-MiniLM-L6-v2 by sentence-transformers in fp32, texts cut at 256 tokens.
REFERENCE = {("cranfield", "nDCG@10"): 39.98, ("cranfield", "recall@100"): 77.24, ("cranfield", "MRR@10"): 53.80,
             ("vaswani", "nDCG@10"): 43.35, ("vaswani", "recall@100"): 60.74, ("vaswani", "MRR@10"): 67.72,
             ("sts2014", "Spearman"): 75.60, ("sts2016", "Spearman"): 78.99}


def embed(nearlite, model, precision, texts):
    with tempfile.TemporaryDirectory(prefix="nearlite-quality-") as folder:
        lines, out = pathlib.Path(folder, "texts.jsonl"), pathlib.Path(folder, "vectors.npy")
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        subprocess.run([nearlite, "embed", lines, "--model", model, "--precision", precision, "--format", "npy", "--out", out, "--quiet"],
                       check=True)
        return numpy.load(out)


def json_lines(file):
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def table(file):
    opened = gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else open(file, encoding="utf-8")
    with opened as stream:
        return [line.rstrip("\n").split("\t") for line in stream][1:]


def retrieval(folder, encode):
    corpus, queries = json_lines(folder / "corpus.jsonl.gz"), json_lines(folder / "queries.jsonl.gz")
    judged = {}
    for query, document, score in table(folder / "qrels" / "test.tsv"):
        judged.setdefault(query, {})[document] = int(score)
    documents = encode([((each.get("title") or "") + " " + each["text"]).strip() for each in corpus])
    scores = encode([each["text"] for each in queries]) @ documents.T
    ndcg, recall, reciprocal = [], [], []
    for row, query in zip(scores, queries):
        grades = judged.get(query["_id"])
        if not grades:
            continue
        order = numpy.argsort(-row, kind="stable")[:100]
        gains = [max(0, grades.get(corpus[i]["_id"], 0)) for i in order]
        ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
        best = sum(gain / math.log2(rank + 2) for rank, gain in enumerate(ideal[:10]))
        ndcg.append(sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains[:10])) / best if best else 0)
        recall.append(sum(gain > 0 for gain in gains) / len(ideal) if ideal else 0)
        reciprocal.append(next((1 / (rank + 1) for rank, gain in enumerate(gains[:10]) if gain > 0), 0))
    return {"nDCG@10": 100 * numpy.mean(ndcg), "recall@100": 100 * numpy.mean(recall), "MRR@10": 100 * numpy.mean(reciprocal)}


def ranks(values):
    """1 for the smallest; equal values share the mean of their ranks."""
    _, inverse, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    return (numpy.cumsum(counts) - (counts - 1) / 2)[inverse]


def similarity(file, encode):
    rows = table(file)
    texts = sorted({row[1] for row in rows} | {row[2] for row in rows})
    place = {text: i for i, text in enumerate(texts)}
    vectors = encode(texts)
    cosines = [float(vectors[place[row[1]]] @ vectors[place[row[2]]]) for row in rows]
    return {"Spearman": 100 * numpy.corrcoef(ranks(cosines), ranks([float(row[0]) for row in rows]))[0, 1]}


def main():
    parser = argparse.ArgumentParser(description="Scores of our vectors on evaluation sets, beside the reference's.")
    parser.add_argument("nearlite")
    parser.add_argument("model")
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--precision", action="append")
    parser.add_argument("--set", action="append", dest="sets")
    arguments = parser.parse_args()
    found = {file.parent.name: (retrieval, file.parent) for file in sorted(arguments.data.glob("*/corpus.jsonl.gz"))}
    found |= {file.name.removesuffix(".tsv.gz"): (similarity, file) for file in sorted(arguments.data.glob("*.tsv.gz"))}
    names = arguments.sets or list(found)
    if not names or set(names) - set(found):
        sys.exit(f"bench_quality: {arguments.data} has no sets of that name; found: {', '.join(found) or 'none'}")
    known = pathlib.Path(arguments.model).name == "all-MiniLM-L6-v2"
    print(f"{'set':<12}{'measure':<12}{'precision':<11}{'nearlite':>9}{'reference':>11}{'difference':>12}")
    for name in names:
        score, source = found[name]
        for precision in arguments.precision or ["fp32", "bf16", "int16", "int8"]:
            scores = score(source, lambda texts: embed(arguments.nearlite, arguments.model, precision, texts))
            for measure, value in scores.items():
                reference = REFERENCE.get((name, measure)) if known else None
                beside = f"{reference:>11.2f}{value - reference:>+12.2f}" if reference else f"{'-':>11}{'-':>12}"
                print(f"{name:<12}{measure:<12}{precision:<11}{value:>9.2f}{beside}", flush=True)


if __name__ == "__main__":
    main()
