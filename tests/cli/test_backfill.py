"""backfill: the seed's command line, interruptions, and what stands in the way of a run."""

import json
import os
import pathlib
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

from program import BINARY, NOTES, ProgramTest

LINE = re.compile(r"^(\w+): embedded (\d+), skipped (\d+), tokens (\d+), wall_ms \d+\.\d\d, store_ms \d+\.\d\d$")


class Backfill(ProgramTest):
    def make_many(self, count):
        words = "disk upload failed printer train soup server mail login window paper night garlic network cable".split()
        choose = random.Random(7)
        rows = [(f"Note {i}", " ".join(choose.choice(words) for _ in range(20))) for i in range(count)]
        file = self.make_notes(rows=rows)
        self.succeed("store", "add", "notes", "--database", "app.db", "--table", "note", "--text", "title,body")
        return file

    def test_the_two_lines_per_store(self):
        self.make_bots(3)
        self.succeed("store", "create", "workflow")
        out = self.succeed("backfill", "--db", "bot", "--db", "workflow", "--backend", "annoy", "--batch-size", "200").out.splitlines()
        self.assertEqual((out[0], out[2]), ("[1/2] backfilling BotDB", "[2/2] backfilling WorkflowDB"))
        self.assertEqual(LINE.match(out[1]).groups()[:3], ("BotDB", "3", "0"))
        self.assertEqual(LINE.match(out[3]).groups()[:3], ("WorkflowDB", "0", "0"))
        self.assertTrue((self.folder / "bot_embeddings.index").exists())
        self.assertTrue((self.folder / "bot_embeddings.json").exists())

    def test_both_forms_of_the_seed(self):
        self.make_bots(2)
        self.succeed("store", "create", "workflow")
        repeated = self.succeed("backfill", "--db", "bot", "--db", "workflow").out
        listed = self.succeed("backfill", "--db", "bot", "workflow", "--batch-size", "10").out
        self.assertEqual(repeated.count("backfilling"), 2)
        self.assertEqual(listed.count("backfilling"), 2)

    def test_a_companion_json_of_the_original_is_taken_over(self):
        self.make_bots(2)
        entry = {"vector": [0.5] * 384, "created_at": "2024-03-05T07:08:09.123456", "embedding_version": 1, "kind": "bot",
                 "source_id": "instance-7", "redacted": True, "record": {"id": 1, "purpose": "old"},
                 "last_updated": "2024-03-01T00:00:00"}
        original = {"id_map": ["1", "99"], "metadata": {"1": entry, "99": entry}, "vector_dim": 384,
                    "last_vectorization": "2024-03-05T07:08:10"}
        (self.folder / "bot_embeddings.json").write_text(json.dumps(original, indent=2))
        done = self.run_program("backfill", "--db", "bot", "--json")
        self.assertIn("of 1 of its 2 records; the rows of the others are gone", done.err)
        self.assertEqual((done.json[0]["imported"], done.json[0]["imported_vectors"]), (1, 0))
        ours = json.loads((self.folder / "bot_embeddings.json").read_text())["metadata"]
        self.assertEqual(ours["1"]["source_id"], "instance-7")
        self.assertEqual(ours["1"]["original"]["created_at"], entry["created_at"])
        self.assertEqual(json.loads((self.folder / "bot_embeddings.json.original").read_text()), original)
        self.assertNotIn("imported", self.succeed("backfill", "--db", "bot", "--json").json[0])

    def test_aliases(self):
        self.succeed("store", "create", "--all")
        for alias, name in [("Bots", "BotDB"), ("botdb", "BotDB"), ("workflows", "WorkflowDB"), ("ERRORS", "ErrorDB"),
                            ("info", "InformationDB"), ("infodb", "InformationDB"), ("enhancements", "EnhancementDB"),
                            ("researchdb", "InfoDB")]:
            self.assertIn("backfilling " + name, self.succeed("backfill", "--db", alias).out)

    def test_all_goes_through_the_six_in_the_seeds_order(self):
        self.succeed("store", "create", "--all")
        out = self.succeed("backfill", "--all").out
        self.assertEqual(re.findall(r"\[(\d)/6\] backfilling (\w+)", out),
                         [("1", "BotDB"), ("2", "WorkflowDB"), ("3", "ErrorDB"), ("4", "InformationDB"), ("5", "EnhancementDB"),
                          ("6", "InfoDB")])

    def test_all_goes_on_without_the_databases_that_are_missing(self):
        self.make_bots(1)
        result = self.succeed("backfill", "--all")
        self.assertIn("[1/1] backfilling BotDB", result.out)
        self.assertIn("store create workflow", result.err)

    def test_a_missing_seed_database_is_not_made(self):
        self.assertIn("store create bot", self.fail_with(3, "backfill", "--db", "bot"))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_store_named_twice_runs_once(self):
        self.make_bots(1)
        result = self.succeed("backfill", "--db", "bot", "--db", "BOTS")
        self.assertEqual(result.out.count("backfilling"), 1)
        self.assertIn("twice", result.err)

    def test_the_script_of_the_seed(self):
        self.make_bots(2)
        folder = self.folder / "bin"
        folder.mkdir()
        os.symlink(BINARY, folder / "nearlite")
        script = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "backfill_embeddings.py"
        copy = folder / "backfill_embeddings.py"
        copy.write_text(script.read_text())
        process = subprocess.run([sys.executable, copy, "--db", "bot", "--backend", "annoy", "--session-id", "s1"], cwd=self.folder,
                                 env=self.environment(), capture_output=True, text=True, check=False)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn("BotDB: embedded 2", process.stdout)
        self.assertEqual(subprocess.run([sys.executable, copy], cwd=self.folder, env=self.environment(), capture_output=True,
                                        check=False).returncode, 2)

    def test_json(self):
        self.make_bots(2)
        stores = self.succeed("backfill", "--db", "bot", "--json").json
        self.assertEqual((stores[0]["store"], stores[0]["class"], stores[0]["embedded"]), ("bot", "BotDB", 2))
        for key in ["skipped", "removed", "unchanged", "blocked", "tokens", "truncated", "wall_ms", "store_ms", "skipped_records"]:
            self.assertIn(key, stores[0])
        self.assertEqual(self.succeed("backfill", "--db", "bot", "--jsonl").lines[0]["unchanged"], 2)

    def test_a_dry_run_changes_nothing(self):
        self.make_bots(2)
        before = sorted(self.folder.iterdir())
        out = self.succeed("backfill", "--db", "bot", "--dry-run").out
        self.assertRegex(out, r"BotDB: would embed 2, .*; 2 passages \(0 texts are longer than the model reads\), about .*, about ")
        dry = self.succeed("backfill", "--db", "bot", "--dry-run", "--json").json[0]
        self.assertEqual((dry["embedded"], dry["passages"], dry["longer"]), (2, 2, 0))
        self.assertGreater(dry["estimated_ms"], 0)
        self.assertGreater(dry["estimated_bytes"], 2 * 384 * 4)
        self.assertEqual(sorted(self.folder.iterdir()), before)

    def test_a_store_that_fails_does_not_stop_the_others(self):
        self.make_bots(1)
        (self.folder / "workflows.db").write_bytes(b"this is no database " * 100)
        result = self.run_program("backfill", "--db", "workflow", "--db", "bot")
        self.assertEqual(result.code, 5)
        self.assertIn("BotDB: embedded 1", result.out)
        self.assertIn("workflow: ", result.err)
        alone = self.run_program("backfill", "--db", "workflow", "--json")
        self.assertEqual(alone.code, 3)
        self.assertEqual(alone.json[0]["error"]["type"], "CorruptData")

    def test_quiet_says_nothing(self):
        self.make_bots(1)
        self.assertEqual(self.succeed("backfill", "--db", "bot", "--quiet").err, "")

    def test_another_run_holds_the_store(self):
        self.make_many(1500)
        first = self.start("backfill", "--db", "notes", "--batch-size", "20")
        try:
            first.stdout.readline()
            self.wait_until(lambda: self.embedded() > 0, first)
            message = self.fail_with(4, "backfill", "--db", "notes")
            self.assertIn(str(first.pid), message)
            waited = self.run_program("backfill", "--db", "notes", "--wait", "1")
            self.assertEqual(waited.code, 4)
        finally:
            first.kill()
            first.communicate()

    def wait_until(self, condition, process):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(process.poll(), "the run ended too early")
            time.sleep(0.01)

    def sidecar(self):
        return self.folder / "app.db.nearlite" / "notes.sqlite"

    def embedded(self):
        if not self.sidecar().exists():
            return 0
        try:
            return self.execute(self.sidecar(), "SELECT count(DISTINCT record) FROM vector")[0][0]
        except sqlite3.OperationalError:
            return 0

    def test_ctrl_c_finishes_the_batch_and_the_same_command_goes_on(self):
        self.make_many(600)
        process = self.start("backfill", "--db", "notes", "--batch-size", "50")
        self.wait_until(lambda: self.embedded() > 0, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn(b"stopping after this batch", err)
        kept = self.embedded()
        self.assertGreater(kept, 0)
        self.assertEqual(kept % 50, 0)
        rest = self.succeed("backfill", "--db", "notes", "--json").json[0]
        self.assertEqual((rest["embedded"], rest["unchanged"]), (600 - kept, kept))
        self.assertEqual(self.run_program("check", "--db", "notes").code, 0)

    def test_a_signal_before_any_work_is_an_exit_code_too(self):
        self.make_notes()
        self.succeed("index", "app.db", "--yes")
        for sent, code in [(signal.SIGINT, 130), (signal.SIGTERM, 143)]:
            process = self.start("search", "app.db", "-", stdin=subprocess.PIPE)
            status = pathlib.Path(f"/proc/{process.pid}/status")
            self.wait_until(lambda: "nearlite" in status.read_text() and "S (sleeping)" in status.read_text(), process)
            process.send_signal(sent)
            process.communicate(timeout=20)
            self.assertEqual(process.returncode, code)

    def test_a_second_ctrl_c_ends_at_once(self):
        self.make_many(600)
        process = self.start("backfill", "--db", "notes", "--batch-size", "300")
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130)
        self.succeed("backfill", "--db", "notes")
        self.assertEqual(self.embedded(), 600)

    def test_killed_at_any_moment_and_started_again_gives_the_same(self):
        self.make_many(200)
        self.succeed("backfill", "--db", "notes")
        expected = self.vectors(self.sidecar())
        question = ("search", "--db", "notes", "the printer has no paper", "--json")
        answer = self.succeed(*question).json["hits"]
        for file in (self.folder / "app.db.nearlite").iterdir():
            if file.name.startswith("notes."):
                file.unlink() if file.is_file() else [part.unlink() for part in file.iterdir()]
        choose = random.Random(11)
        for _ in range(8):
            process = self.start("backfill", "--db", "notes", "--batch-size", "10")
            try:
                process.communicate(timeout=choose.uniform(0.02, 0.6))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        self.succeed("backfill", "--db", "notes")
        self.assertEqual(self.vectors(self.sidecar()), expected)
        self.assertEqual(self.succeed(*question).json["hits"], answer)
        self.assertTrue(self.succeed("check", "--db", "notes", "--json").json["ok"])

    def test_progress_without_a_terminal_is_no_flood(self):
        self.make_many(200)
        err = self.succeed("backfill", "--db", "notes", "--batch-size", "5").err
        self.assertNotIn("\r", err)
        self.assertLess(len(err.splitlines()), 5)

    def test_stdout_closed_by_the_reader(self):
        self.make_bots(2)
        process = self.start("backfill", "--db", "bot")
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        process.wait(timeout=60)
        self.assertEqual(err, b"")
        self.assertEqual(process.returncode, 141)


if __name__ == "__main__":
    unittest.main()
