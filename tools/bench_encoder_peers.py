#!/usr/bin/env python3
"""Measures our encoder beside sentence-transformers, OpenVINO, ONNX Runtime and CTranslate2, and prints the ratios (./dev bench encoder).

  tools/bench_encoder_peers.py --texts FILE --model DIR [--bin build/release/bin] [--seconds 4] [--rounds 2] [--only NAME ...] [--out FILE]

FILE: one text per line, the first 1,500 are used. Every contender runs in processes of its own, in turns; the best round counts. Ours
takes slices of 25 texts as they come; the others get batches of texts of like length, as sentence-transformers would make them, so
that they pad as little as can be, in a shuffled order. All models are made from the local folder: the ONNX graph by bench_onnx.py (OpenVINO reads the
same one), int8 by the runtimes' own converters. "first vector" counts from the start of the process, imports included. What is not
installed is left out, and said. --out keeps what was measured, so that a run can be made in pieces with --only.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

SLICE = 25  # of ours
BATCH = 32
COMPARED = 512  # texts whose vectors are compared with ours in fp32
QUESTION = "how do I reset a password"
MAX_TOKENS = 256


class Tokenizing:
    """The reference's tokenizer, texts padded to the longest of a slice, longest first: how sentence-transformers does it."""

    def __init__(self, model, threads):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.no_padding()
        self.threads = threads

    def encode(self, texts):
        import numpy

        encoded = [each.ids for each in self.tokenizer.encode_batch(texts)]
        length = max(map(len, encoded))
        ids = numpy.zeros((len(encoded), length), dtype=numpy.int64)
        mask = numpy.zeros_like(ids)
        for row, one in enumerate(encoded):
            ids[row, : len(one)] = one
            mask[row, : len(one)] = 1
        return self.vectors(encoded, ids, mask)


class SentenceTransformers:
    def __init__(self, model, threads, kind):
        import sentence_transformers
        import torch

        torch.set_num_threads(threads)
        self.model = sentence_transformers.SentenceTransformer(str(model), device="cpu", local_files_only=True)
        self.model = self.model.to(torch.bfloat16) if kind == "bf16" else self.model.float()

    def encode(self, texts):
        return self.model.encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True).float().numpy()


class OpenVino(Tokenizing):
    def __init__(self, model, threads, kind):
        super().__init__(model, threads)
        import openvino

        core = openvino.Core()
        graph = core.read_model(str(made(model, "onnx")))
        self.compiled = core.compile_model(graph, "CPU", {
            "INFERENCE_PRECISION_HINT": "bf16" if kind == "bf16" else "f32", "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"})  # fmt: skip
        self.request = self.compiled.create_infer_request()

    def vectors(self, encoded, ids, mask):
        return self.request.infer({"ids": ids, "mask": mask})[self.compiled.output(0)].copy()


class OnnxRuntime(Tokenizing):
    def __init__(self, model, threads, kind):
        super().__init__(model, threads)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(made(model, "onnx-int8" if kind == "int8" else "onnx")), options,
                                                    providers=["CPUExecutionProvider"])  # fmt: skip

    def vectors(self, encoded, ids, mask):
        return self.session.run(None, {"ids": ids, "mask": mask})[0]


class CTranslate2(Tokenizing):
    def __init__(self, model, threads, kind):
        super().__init__(model, threads)
        import ctranslate2

        self.encoder = ctranslate2.Encoder(str(made(model, "ctranslate2")), compute_type=kind, inter_threads=1, intra_threads=threads)

    def vectors(self, encoded, ids, mask):
        import numpy

        hidden = numpy.array(self.encoder.forward_batch(encoded).last_hidden_state)[:, : mask.shape[1]]
        sums = (hidden * mask[:, :, None]).sum(1)
        return sums / numpy.linalg.norm(sums, axis=1, keepdims=True)


CONTENDERS = {
    "sentence-transformers fp32": (SentenceTransformers, "fp32", "fp32"),
    "OpenVINO fp32": (OpenVino, "fp32", "fp32"),
    "ONNX Runtime fp32": (OnnxRuntime, "fp32", "fp32"),
    "sentence-transformers bf16": (SentenceTransformers, "bf16", "16 bits"),
    "OpenVINO bf16": (OpenVino, "bf16", "16 bits"),
    "ONNX Runtime int8": (OnnxRuntime, "int8", "int8"),
    "CTranslate2 int8": (CTranslate2, "int8", "int8"),
}
OURS = {"fp32": "fp32", "bf16": "16 bits", "int16": "16 bits", "int8": "int8"}


def folder():
    place = pathlib.Path(os.environ["NEARLITE_PEER_MODELS"])
    place.mkdir(parents=True, exist_ok=True)
    return place


def made(model, what):
    """A model in another runtime's form, made once."""
    place = folder() / {"onnx": "model.onnx", "onnx-int8": "model-int8.onnx", "ctranslate2": "ctranslate2"}[what]
    if place.exists():
        return place
    if what == "onnx":
        import bench_onnx

        place.write_bytes(bench_onnx.build(model))
    elif what == "onnx-int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(made(model, "onnx"), place, per_channel=True, weight_type=QuantType.QInt8)
    else:
        import ctranslate2

        ctranslate2.converters.TransformersConverter(str(model)).convert(str(place), quantization="int8")
    return place


def resident_megabytes():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def run_one(name, model, texts, threads, seconds, started, vectors_file):
    """In a process of its own: prints one JSON object."""
    kind, precision, _ = CONTENDERS[name]
    peer = kind(model, threads, precision)
    peer.encode([QUESTION])
    figures = {"first vector, ms": (time.time() - started) * 1e3}
    lengths = [len(each.ids) for each in Tokenizing(model, 1).tokenizer.encode_batch(texts)]
    order = sorted(range(len(texts)), key=lambda i: lengths[i])
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    random.Random(1).shuffle(batches)
    slices = [[texts[i] for i in batch] for batch in batches]
    tokens = [sum(lengths[i] for i in batch) for batch in batches]
    peer.encode(texts[:8])
    spent, done, best, i = 0.0, 0, 0.0, 0
    while spent < seconds:
        begin = time.perf_counter()
        peer.encode(slices[i % len(slices)])
        took = time.perf_counter() - begin
        best = max(best, tokens[i % len(slices)] / took)
        spent, done, i = spent + took, done + tokens[i % len(slices)], i + 1
    figures["tokens/s"] = done / spent
    figures["tokens/s, best slice"] = best
    figures["resident, MB"] = resident_megabytes()
    times = []
    for _ in range(60):
        begin = time.perf_counter()
        peer.encode([QUESTION])
        times.append((time.perf_counter() - begin) * 1e3)
    figures["question of 8 tokens, median ms"] = statistics.median(times)
    if vectors_file:
        import numpy

        numpy.save(vectors_file, numpy.concatenate([peer.encode(texts[i : i + BATCH]) for i in range(0, COMPARED, BATCH)]))
    print(json.dumps(figures))


def peer_figures(arguments, name, threads, vectors_file):
    command = [sys.executable, "-B", __file__, "--texts", arguments.texts, "--model", arguments.model, "--seconds", str(arguments.seconds),
               "--run", name, "--threads", str(threads), "--started", repr(time.time()), "--vectors", vectors_file or ""]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        print(f"{name} is not measured: {(run.stderr.strip().splitlines() or ['no reason given'])[-1]}", file=sys.stderr)
        return {}
    return json.loads(run.stdout.splitlines()[-1])


def our_figures(arguments, precision):
    output = subprocess.run([str(pathlib.Path(arguments.bin, "nearlite_encoder_bench")), arguments.texts, arguments.model,
                             str(arguments.seconds), precision], check=True, capture_output=True, text=True).stdout  # fmt: skip
    names = {"encode": "tokens/s", "encode, best slice": "tokens/s, best slice", "one question, median": "question of 8 tokens, median ms",
             "one question while another thread encodes, median": "question beside a batch, median ms",
             "resident memory while encoding": "resident, MB"}  # fmt: skip
    figures = {1: {}, 2: {}}
    for line in map(json.loads, output.splitlines()):
        if line["figure"] in names:
            figures[2 if "2 threads" in line["shape"] else 1][names[line["figure"]]] = line["value"]
    program = [str(pathlib.Path(arguments.bin, "nearlite")), "embed", "-", "--model", arguments.model, "--precision", precision, "--threads", "1"]
    took = []
    for _ in range(7):
        begin = time.perf_counter()
        subprocess.run(program, input=b"hello\n", stdout=subprocess.DEVNULL, check=True)
        took.append((time.perf_counter() - begin) * 1e3)
    figures[1]["first vector, ms"] = statistics.median(took)
    return figures


def our_vectors(arguments, precision, texts):
    import numpy

    with tempfile.TemporaryDirectory() as place:
        lines, out = pathlib.Path(place, "texts.jsonl"), pathlib.Path(place, "v.npy")
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[:COMPARED]), encoding="utf-8")
        subprocess.run([str(pathlib.Path(arguments.bin, "nearlite")), "embed", str(lines), "--model", arguments.model, "--precision", precision,
                        "--format", "npy", "--out", str(out), "--quiet"], check=True)  # fmt: skip
        return numpy.load(out)


def smallest_cosine(a, b):
    import numpy

    a, b = a.astype("f8"), b.astype("f8")
    return float(((a * b).sum(1) / numpy.linalg.norm(a, axis=1) / numpy.linalg.norm(b, axis=1)).min())


def keep_best(into, figures):
    for name, value in figures.items():
        better = max if name.startswith("tokens/s") else min
        into[name] = better(into[name], value) if name in into else value


def keep(arguments, results):
    if arguments.out:
        pathlib.Path(arguments.out).write_text(json.dumps(results, indent=1))


def measure(arguments, texts):
    results = json.loads(pathlib.Path(arguments.out).read_text()) if arguments.out and pathlib.Path(arguments.out).exists() else {}
    wanted = arguments.only or [*(f"nearlite {p}" for p in OURS), *CONTENDERS]
    exact = our_vectors(arguments, "fp32", texts)
    for _ in range(arguments.rounds):
        for name in wanted:
            keep(arguments, results)
            if name.startswith("nearlite "):
                for threads, figures in our_figures(arguments, name.split()[1]).items():
                    keep_best(results.setdefault(name, {}).setdefault(str(threads), {}), figures)
                continue
            for threads in (1, 2):
                vectors_file = str(folder() / "vectors.npy") if threads == 1 else None
                figures = peer_figures(arguments, name, threads, vectors_file)
                if figures:
                    keep_best(results.setdefault(name, {}).setdefault(str(threads), {}), figures)
                    if vectors_file:
                        import numpy

                        results[name]["1"]["smallest cosine"] = smallest_cosine(numpy.load(vectors_file), exact)
    for name in wanted:
        if name.startswith("nearlite ") and name in results:
            results[name]["1"]["smallest cosine"] = smallest_cosine(our_vectors(arguments, name.split()[1], texts), exact)
    keep(arguments, results)
    return results


def show(results):
    columns = ["tokens/s", "question of 8 tokens, median ms", "question beside a batch, median ms", "first vector, ms", "resident, MB",
               "smallest cosine"]  # fmt: skip
    titles = ["tokens/s, 1 thread", "2 threads", "ratio", "question ms", "beside batch", "first vector ms", "resident MB", "smallest cosine"]
    print(f"{'':<28}" + "".join(f"{title:>19}" for title in titles))
    for name, by_threads in results.items():
        one, two = by_threads.get("1", {}), by_threads.get("2", {})
        row = [one.get(columns[0]), two.get(columns[0])]
        row.append(row[1] / row[0] if row[0] and row[1] else None)
        row += [one.get(column) for column in columns[1:]]
        formats = ["{:,.0f}", "{:,.0f}", "{:.2f}", "{:.2f}", "{:.2f}", "{:.0f}", "{:.0f}", "{:.7f}"]
        print(f"{name:<28}" + "".join(f"{'-' if value is None else form.format(value):>19}" for form, value in zip(formats, row)))
    print("\nnearlite against each peer of its class (tokens/s of 1 thread, of 2 threads, time of a question):")
    for ours, our_class in OURS.items():
        mine = results.get(f"nearlite {ours}")
        for name, (_, _, their_class) in CONTENDERS.items():
            theirs = results.get(name)
            if not mine or not theirs or (our_class != their_class and not (our_class == "16 bits" and name == "sentence-transformers fp32")):
                continue
            rates = [mine[t]["tokens/s"] / theirs[t]["tokens/s"] for t in ("1", "2")]
            question = "question of 8 tokens, median ms"
            print(f"  {ours:<6} {name:<28} {rates[0]:6.2f}x {rates[1]:6.2f}x   question {mine['1'][question] / theirs['1'][question]:.2f} of its time")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", action="append", help="a contender: 'nearlite int8', 'OpenVINO fp32', ...")
    parser.add_argument("--out", help="where figures are kept, and added to")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--vectors", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS=str(arguments.threads if arguments.run else 2))
    os.environ.setdefault("NEARLITE_PEER_MODELS", "build/peer-models")
    texts = pathlib.Path(arguments.texts).read_text(encoding="utf-8").splitlines()[:1500]
    if arguments.run:
        return run_one(arguments.run, pathlib.Path(arguments.model), texts, arguments.threads, arguments.seconds, arguments.started,
                       arguments.vectors)  # fmt: skip
    show(measure(arguments, texts))


if __name__ == "__main__":
    main()
