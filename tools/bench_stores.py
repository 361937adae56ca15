"""A real database from nothing to fresh, and on: what each step takes, and whether it is right afterwards.

usage: tools/bench_stores.py --nearlite BIN --model M DATABASE [--rows N] [--sidecar FOLDER] [--second-model DIR]

DATABASE has a table package(id, name, summary, description), as tools/demo_data/make_packages_db.py makes it; it is copied first. --rows takes the
first N rows. --sidecar is a folder that holds the vectors already (app.db.nearlite), to spare the first step. The second model is by default a table of
the first one's word vectors, made here: it embeds a hundred times as fast, so that the change itself is seen.
"""

import argparse
import json
import os
import pathlib
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time


def table_model(first, folder):
    """A StaticEmbedding model of the word embeddings of a BERT model."""
    data = (first / "model.safetensors").read_bytes()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    words = header["embeddings.word_embeddings.weight"]
    begin, end = words["data_offsets"]
    out = json.dumps({"embedding.weight": {"dtype": words["dtype"], "shape": words["shape"], "data_offsets": [0, end - begin]}}).encode()
    part = folder / "0_StaticEmbedding"
    part.mkdir(parents=True)
    (part / "model.safetensors").write_bytes(struct.pack("<Q", len(out)) + out + data[8 + size + begin:8 + size + end])
    shutil.copy(first / "tokenizer.json", part)
    (folder / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"},
        {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}]))
    (folder / "1_Normalize").mkdir()
    return folder


def folder_bytes(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != "metrics.db")


class Scenario:
    def __init__(self, arguments, folder):
        self.binary = arguments.nearlite
        self.folder = folder
        self.database = folder / "packages.db"
        shutil.copy(arguments.database, self.database)
        if arguments.rows:
            self.execute("DELETE FROM package WHERE id > (SELECT max(id) FROM (SELECT id FROM package ORDER BY id LIMIT ?))", arguments.rows)
            self.execute("VACUUM")
        self.sidecar = folder / "packages.db.nearlite"
        self.env = {**os.environ, "NEARLITE_MODEL": str(arguments.model), "HF_HUB_OFFLINE": "1"}

    def execute(self, sql, *parameters):
        db = sqlite3.connect(self.database, isolation_level=None)
        rows = db.execute(sql, parameters).fetchall()
        db.close()
        return rows

    def run(self, *command, warm=0):
        started = time.perf_counter()
        process = subprocess.Popen([self.binary, *map(str, command), "--json"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   cwd=self.folder)
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        self.seconds = time.perf_counter() - started
        self.cpu = usage.ru_utime + usage.ru_stime
        self.mib = usage.ru_maxrss / 1024
        if status:
            sys.exit(f"{command} failed: {out.decode()}")
        document = json.loads(out)
        return document[0] if isinstance(document, list) else document

    def line(self, what, text):
        print(f"  {what:<44} {self.seconds:8.2f} s  {self.cpu:8.2f} s of processors  {self.mib:6.0f} MiB   {text}", flush=True)

    def check(self):
        status = self.run("status", self.database)["stores"][0]
        rows = self.execute("SELECT count(*) FROM package")[0][0]
        right = status["rows"] == status["fresh"] == rows and status["orphan"] == 0
        self.line("status", f"fresh {status['fresh']:,} of {rows:,}: {'right' if right else 'WRONG ' + json.dumps(status)}")

    def refresh(self, what):
        done = self.run("backfill", self.database)
        self.line(what, f"embedded {done['embedded']:,}, removed {done['removed']:,}, unchanged {done['unchanged']:,}"
                  f" (read, compare and so on {done['wall_ms'] - done['encode_ms'] - done['store_ms']:.0f} ms, encoder {done['encode_ms']:.0f} ms,"
                  f" store and publish {done['store_ms']:.0f} ms)")
        return done

    def edit(self, count):
        ids = [row[0] for row in self.execute("SELECT id FROM package ORDER BY (id * 7919) % 10007, id LIMIT ?", 2 * count)]
        db = sqlite3.connect(self.database)
        with db:
            db.executemany("UPDATE package SET description = description || ' It was changed.' WHERE id = ?", [(i,) for i in ids[:count]])
            db.executemany("DELETE FROM package WHERE id = ?", [(i,) for i in ids[count:]])
        db.close()


def estimated(what, dry, seconds, done, actual_bytes):
    wanted = {"rows": (dry["embedded"], done["embedded"]), "tokens": (dry["tokens"], done["tokens"]),
              "longer texts": (dry.get("longer"), done.get("longer")), "seconds": (dry["estimated_ms"] / 1000, seconds),
              "bytes": (dry["estimated_bytes"], actual_bytes)}
    for name, (guess, actual) in wanted.items():
        if guess is None or actual is None:
            continue
        ratio = f"{guess / actual:.3f}" if actual else "-"
        print(f"    estimate of {what}: {name:<14} {guess:>14,.1f}   then {actual:>14,.1f}   ratio {ratio}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("database", type=pathlib.Path)
    parser.add_argument("--nearlite", required=True, type=lambda text: str(pathlib.Path(text).absolute()))
    parser.add_argument("--model", required=True, type=lambda text: pathlib.Path(text).absolute())
    parser.add_argument("--rows", type=int)
    parser.add_argument("--sidecar", type=pathlib.Path)
    parser.add_argument("--second-model", type=lambda text: pathlib.Path(text).absolute())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nearlite-bench-") as name:
        folder = pathlib.Path(name)
        steps = Scenario(arguments, folder)
        rows = steps.execute("SELECT count(*) FROM package")[0][0]
        print(f"{rows:,} rows, {len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}")
        table = ["--table", "package:name,summary,description"]
        if arguments.sidecar:
            shutil.copytree(arguments.sidecar, steps.sidecar)
        else:
            # A dry run of backfill counts every text; it needs a store that is declared.
            steps.run("store", "add", "package", "--database", steps.database, "--table", "package", "--text", "name,summary,description",
                      "--data-dir", folder)
            dry = steps.run("backfill", "--db", "package", "--dry-run", "--data-dir", folder)
            steps.line("dry run", f"{dry['embedded']:,} rows, {dry['tokens']:,} tokens")
            (folder / "nearlite.toml").unlink()
            sample = steps.run("index", steps.database, "--dry-run", *table)["proposal"]["tables"][0]
            sample["embedded"] = sample["texts"]
            steps.line("index --dry-run", f"{sample['rows']:,} rows, {sample['tokens']:,} tokens ({sample['counted']} counted)")
            done = steps.run("index", steps.database, "--yes", *table)
            steps.line("index, from nothing", f"embedded {done['embedded']:,} ({done['passages']:,} passages, {done['tokens']:,} tokens):"
                       f" {done['tokens'] / done['wall_ms'] * 1000:,.0f} tokens/s, {done['encode_ms'] / done['wall_ms']:.1%} of it in the encoder")
            estimated("backfill", dry, steps.seconds, done, folder_bytes(steps.sidecar))
            estimated("index", sample, steps.seconds, done, folder_bytes(steps.sidecar))
        steps.check()
        for _ in range(3):
            steps.refresh("nothing to do")
        for count in (10, 500):
            steps.edit(count)
            steps.refresh(f"{count} edits, {count} deletions")
            steps.check()
        second = arguments.second_model or table_model(arguments.model, folder / "second")
        before = folder_bytes(steps.sidecar)
        set_model = ("store", "set", "package", "--model", second, "--data-dir", folder)
        dry = steps.run(*set_model, "--dry-run")
        done = steps.run(*set_model)
        steps.line("another model, beside the present one", f"embedded {done['embedded']:,}, switched: {done['switched']}")
        estimated("the change", dry, steps.seconds, done, folder_bytes(steps.sidecar) - before)
        steps.check()
        steps.edit(100)
        done = steps.run("store", "set", "package", "--rollback", "--data-dir", folder)
        steps.line("100 edits, 100 deletions, rollback", f"switched: {done['switched']}")
        steps.check()
        steps.refresh("nothing to do")


if __name__ == "__main__":
    main()
