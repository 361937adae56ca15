"""What an owner does to the database while it is being embedded or served: changes of the schema, VACUUM, another file in its place, a backup.

After each of them an ordinary backfill must bring every row up to date, and no row may answer with the text of another.
"""

import os
import pathlib
import random
import shutil
import sqlite3
import time
import unittest

from service import ServiceTest

ROWS = 500
WORDS = ("river letter upload printer garden winter server password train soup disk paper query failed slowly before after noon "
         "mountain violin harbour copper lantern meadow orchard pepper saddle thunder velvet whistle anchor basket candle").split()


def text_of(number):
    """A text that only this row has: six words and the number."""
    return " ".join(random.Random(number).sample(WORDS, 6)) + f" {number}"


class ChangingSource(ServiceTest):
    def make(self, numbers=range(ROWS), name="app.db", journal_mode="wal", key="id INTEGER PRIMARY KEY"):
        file = self.folder / name
        db = sqlite3.connect(file)
        db.execute(f"PRAGMA journal_mode = {journal_mode}")
        db.execute(f"CREATE TABLE note({key}, body TEXT)")
        db.executemany("INSERT INTO note(body) VALUES (?)", [(text_of(number),) for number in numbers])
        db.commit()
        db.close()
        return file

    def sidecar(self):
        [file] = (self.folder / "app.db.nearlite").glob("note*.sqlite")
        return file

    def begun(self, file):
        """A run that has written some of the vectors, and has most of them before it."""
        run = self.start("index", file, "--table", "note:body", "--yes", "--batch-size", "20")
        self.addCleanup(run.kill)
        self.addCleanup(run.stdout.close)
        self.addCleanup(run.stderr.close)
        for _ in range(3000):
            time.sleep(0.01)
            self.assertIsNone(run.poll(), "it ended before anything could be changed")
            try:
                if self.execute(self.sidecar(), "SELECT count(*) FROM record")[0][0] >= 40:
                    return run
            except (ValueError, sqlite3.OperationalError):
                continue  # not made yet
        raise AssertionError("nothing was embedded")

    def ended(self, run, codes):
        out, err = run.communicate(timeout=120)
        self.assertIn(run.returncode, codes, err.decode())
        return err.decode()

    def expect_each_row_answers(self, file, num_rows=ROWS, column="body"):
        self.succeed("backfill", file)
        [status] = self.succeed("status", file, "--json").json["stores"]
        self.assertEqual((status["rows"], status["fresh"], status["orphan"]), (num_rows, num_rows, 0))
        rows = self.execute(file, f"SELECT rowid, {column} FROM note ORDER BY rowid")
        asked = rows[:: max(1, len(rows) // 12)]
        for key, text in asked:
            [hit] = self.succeed("search", file, text, "-k", "1", "--json").json["hits"]
            self.assertEqual(hit["key"], key, (hit, text))
            self.assertGreater(hit["similarity"], 0.99)

    def change_during_a_run(self, change, codes, **made):
        file = self.make(**made)
        run = self.begun(file)
        db = sqlite3.connect(file, timeout=30, isolation_level=None)
        change(db)
        db.close()
        self.ended(run, codes)
        return file

    def test_a_column_is_added(self):
        file = self.change_during_a_run(lambda db: db.execute("ALTER TABLE note ADD COLUMN author TEXT"), (0,))
        self.expect_each_row_answers(file)

    def test_rows_are_renumbered_by_vacuum(self):
        def change(db):
            db.execute("DELETE FROM note WHERE rowid % 2 = 1")
            db.execute("VACUUM")

        for mode in ("wal", "delete"):
            with self.subTest(mode):
                shutil.rmtree(self.folder)
                self.folder.mkdir()
                file = self.change_during_a_run(change, (0, 4, 5), key="title TEXT", journal_mode=mode)
                self.expect_each_row_answers(file, ROWS // 2)

    def test_the_journal_mode_changes(self):
        def change(db):
            for _ in range(200):  # while we read, SQLite refuses it
                try:
                    db.execute("PRAGMA journal_mode = delete")
                    return
                except sqlite3.OperationalError:
                    time.sleep(0.05)

        self.expect_each_row_answers(self.change_during_a_run(change, (0, 4)))

    def test_the_column_goes(self):
        file = self.make()
        run = self.begun(file)
        self.execute(file, "ALTER TABLE note RENAME COLUMN body TO text")
        error = self.ended(run, (0, 2, 3, 4, 5))
        if run.returncode != 0:
            self.assertIn("body", error)
        refused = self.run_program("backfill", file)
        self.assertIn(refused.code, (2, 3, 4), refused.err)
        self.assertIn("body", refused.err)
        self.execute(file, "ALTER TABLE note RENAME COLUMN text TO body")
        self.expect_each_row_answers(file)

    def test_the_table_goes(self):
        file = self.make()
        run = self.begun(file)
        db = sqlite3.connect(file, timeout=30, isolation_level=None)
        db.execute("DROP TABLE note")
        error = self.ended(run, (0, 2, 3, 4, 5))
        if run.returncode != 0:
            self.assertIn("note", error)
        refused = self.run_program("backfill", file)
        self.assertIn(refused.code, (2, 3, 4), refused.err)
        self.assertIn("note", refused.err)
        db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO note(body) VALUES (?)", [(text_of(number),) for number in range(5000, 5100)])
        db.close()
        self.expect_each_row_answers(file, 100)

    def test_another_file_takes_its_place(self):
        file = self.make(journal_mode="delete")
        other = self.make(range(9000, 9000 + ROWS), name="other.db", journal_mode="delete")
        run = self.begun(file)
        os.replace(other, file)
        self.ended(run, (0, 4, 5))
        self.expect_each_row_answers(file)

    def test_a_backup_that_is_made_meanwhile_is_whole(self):
        file = self.make()
        run = self.begun(file)
        restored = self.folder / "restored"
        restored.mkdir()
        sidecar = self.sidecar()
        for source in (sidecar, file):  # the vectors first: rows that are newer are embedded again
            kept = restored / source.relative_to(self.folder)
            kept.parent.mkdir(exist_ok=True)
            copy = sqlite3.connect(kept)
            with sqlite3.connect(source) as db:
                db.backup(copy, pages=50)
            db.close()
            copy.close()
        for setting in sidecar.parent.glob("*.toml"):
            (restored / setting.relative_to(self.folder)).write_bytes(setting.read_bytes())
        embedded = self.execute(restored / sidecar.relative_to(self.folder), "SELECT count(*) FROM record")[0][0]
        self.assertGreaterEqual(embedded, 40)
        self.ended(run, (0,))
        self.succeed("check", "--full", restored / "app.db")
        [done] = self.succeed("backfill", restored / "app.db", "--json").json
        self.assertEqual((done["embedded"], done["unchanged"]), (ROWS - embedded, embedded))
        self.expect_each_row_answers(restored / "app.db")


class Descriptors(ServiceTest):
    def descriptors(self, process):
        """Number -> flags of what a process has open."""
        flags = {}
        for number in os.listdir(f"/proc/{process.pid}/fd"):
            try:
                text = pathlib.Path(f"/proc/{process.pid}/fdinfo/{number}").read_text()
            except FileNotFoundError:
                continue
            flags[int(number)] = int(text.split("flags:")[1].split()[0], 8)
        return flags

    def test_no_descriptor_outlives_exec_and_none_is_leaked(self):
        server = self.serve_notes()
        ask = {"query": "printer", "k": 3}
        for _ in range(5):
            self.assertEqual(server.post("/v1/search", ask).status, 200)
        before = self.descriptors(server.process)
        for number, flags in before.items():
            if number > 2:
                self.assertTrue(flags & os.O_CLOEXEC, f"{number}: " + os.readlink(f"/proc/{server.process.pid}/fd/{number}"))
        for round_number in range(20):
            self.execute(self.folder / "app.db", "UPDATE note SET body = body || ? WHERE id = 1", (f" {round_number}",))
            self.succeed("backfill", "app.db")
            for _ in range(5):
                self.assertEqual(server.post("/v1/search", ask).status, 200)
        after = self.descriptors(server.process)
        self.assertLessEqual(len(after), len(before) + 8, "each run leaves descriptors behind")

    def test_what_many_runs_leave_is_bounded_while_readers_go_on(self):
        server = self.serve_notes()
        folder = self.folder / "app.db.nearlite"
        for round_number in range(25):
            self.execute(self.folder / "app.db", "UPDATE note SET body = ? WHERE id = ?", (text_of(round_number), 1 + round_number % 6))
            self.assertEqual(server.post("/v1/search", {"query": "printer", "k": 3}).status, 200)
            self.succeed("backfill", "app.db")
        left = [file for file in folder.rglob("*") if file.is_file()]
        for file in left:
            if file.name.endswith("-wal"):
                self.assertLess(file.stat().st_size, 64 << 20)
        self.assertEqual([file.name for file in left if ".tmp" in file.name], [])
        self.assertLess(sum(file.stat().st_size for file in left), 8 << 20)
        self.assertLess(len([file for file in left if file.suffix == ".vecs"]), 8)


if __name__ == "__main__":
    unittest.main()
