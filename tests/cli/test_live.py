"""What is said of a database, and what its owner notices, while the owner goes on writing.

A process of its own inserts, updates and deletes NEARLITE_LIVE_RATE rows per second (default 1,000) for NEARLITE_LIVE_SECONDS (default 4).
Each of its transactions keeps the number of rows, so that counts of two different moments do not add up.
"""

import multiprocessing
import os
import random
import sqlite3
import time
import unittest

from program import ProgramTest

SECONDS = float(os.environ.get("NEARLITE_LIVE_SECONDS", "4"))
RATE = int(os.environ.get("NEARLITE_LIVE_RATE", "1000"))
ROWS = 1500
WORDS = "river letter upload printer garden winter server password train soup disk paper query failed slowly before after noon".split()


def text_of(rng):
    return " ".join(rng.choices(WORDS, k=12))


class Owner:
    """Writes 4 new rows, deletes 4, and changes 2 in each transaction, as fast as `rate` says (0: as it can)."""

    def __init__(self, file, rate, busy_timeout_ms):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(file, rate, busy_timeout_ms, theirs), daemon=True)
        self.process.start()

    @staticmethod
    def run(file, rate, busy_timeout_ms, pipe):
        rng = random.Random(7)
        db = sqlite3.connect(file, isolation_level=None, timeout=busy_timeout_ms / 1000)
        live = [row[0] for row in db.execute("SELECT id FROM note")]
        next_id = max(live) + 1
        result = {"rows": 0, "failures": [], "longest_ms": 0.0}
        started = time.monotonic()
        while True:
            if pipe.poll():
                if pipe.recv() == "stop":
                    break
                pipe.send("paused")
                pipe.recv()
                started = time.monotonic() - result["rows"] / (rate or 1)
            begun = time.monotonic()
            try:
                db.execute("BEGIN IMMEDIATE")
                for _ in range(4):
                    db.execute("INSERT INTO note(id, body) VALUES (?, ?)", (next_id, text_of(rng)))
                    live.append(next_id)
                    next_id += 1
                for _ in range(4):
                    at = rng.randrange(len(live))
                    live[at], live[-1] = live[-1], live[at]
                    db.execute("DELETE FROM note WHERE id = ?", (live.pop(),))
                for _ in range(2):
                    db.execute("UPDATE note SET body = ? WHERE id = ?", (text_of(rng), rng.choice(live)))
                db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                result["failures"].append(str(error))
                break
            result["rows"] += 10
            result["longest_ms"] = max(result["longest_ms"], (time.monotonic() - begun) * 1000)
            if rate and (ahead := result["rows"] / rate - (time.monotonic() - started)) > 0:
                time.sleep(ahead)
        db.close()
        pipe.send(result)

    def pause(self):
        """Holds the owner between two transactions."""
        self.pipe.send("pause")
        answer = self.pipe.recv()
        assert answer == "paused", answer

    def go_on(self):
        self.pipe.send("go on")

    def stop(self):
        if self.process.is_alive() and not self.pipe.poll():
            self.pipe.send("stop")
        result = self.pipe.recv()
        self.process.join()
        return result


class Live(ProgramTest):
    def make(self, journal_mode):
        rng = random.Random(1)
        file = self.folder / "app.db"
        db = sqlite3.connect(file)
        db.execute(f"PRAGMA journal_mode = {journal_mode}")
        db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO note(body) VALUES (?)", [(text_of(rng),) for _ in range(ROWS)])
        db.commit()
        db.close()
        self.succeed("index", file, "--table", "note:body", "--yes")
        return file

    def owner(self, *arguments):
        owner = Owner(*arguments)
        self.addCleanup(owner.process.kill)
        return owner

    def status(self):
        return self.succeed("status", "app.db", "--json").json["stores"][0]

    def copy_of_rows(self):
        return dict(self.execute(self.folder / "app.db", "SELECT id, body FROM note"))

    def counted(self, embedded):
        """What status has to say, by SQL: `embedded` are the rows as they were when they were embedded."""
        db = sqlite3.connect(":memory:")
        db.execute("ATTACH ? AS app", (str(self.folder / "app.db"),))
        db.execute("CREATE TABLE embedded(id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO embedded VALUES (?, ?)", embedded.items())
        counts = {}
        for name, sql in {
            "rows": "SELECT count(*) FROM app.note",
            "fresh": "SELECT count(*) FROM app.note JOIN embedded USING (id) WHERE note.body = embedded.body",
            "stale_text": "SELECT count(*) FROM app.note JOIN embedded USING (id) WHERE note.body <> embedded.body",
            "missing": "SELECT count(*) FROM app.note WHERE id NOT IN (SELECT id FROM embedded)",
            "orphan": "SELECT count(*) FROM embedded WHERE id NOT IN (SELECT id FROM app.note)",
        }.items():
            counts[name] = db.execute(sql).fetchone()[0]
        db.close()
        return counts

    def check_one_moment(self, status, num_embedded):
        """Counts of one moment add up: every vector is fresh, stale or an orphan, and the number of rows never changes."""
        self.assertEqual(status["rows"], ROWS)
        self.assertEqual(status["fresh"] + status["stale_text"] + status["missing"], ROWS, status)
        self.assertEqual(status["fresh"] + status["stale_text"] + status["orphan"], num_embedded, status)

    def follow(self, journal_mode):
        file = self.make(journal_mode)
        embedded = self.copy_of_rows()
        owner = self.owner(file, RATE, 1000)
        end = time.monotonic() + SECONDS
        seen = set()
        checkpoints = 0
        while time.monotonic() < end or checkpoints < 3:
            for _ in range(3):
                status = self.status()
                if status["consistent"]:
                    self.check_one_moment(status, len(embedded))
                if journal_mode == "wal":
                    self.assertTrue(status["consistent"])
            owner.pause()
            status = self.status()
            self.assertTrue(status["consistent"])
            wanted = self.counted(embedded)
            self.assertEqual({name: status[name] for name in wanted}, wanted)
            seen.add(tuple(wanted.values()))
            checkpoints += 1
            if checkpoints % 3 == 0:
                self.succeed("backfill", "app.db")
                embedded = self.copy_of_rows()
                self.assertEqual(self.counted(embedded)["fresh"], self.status()["fresh"])
            owner.go_on()
        result = owner.stop()
        self.assertEqual(result["failures"], [])
        self.assertGreater(len(seen), 2)  # it did write
        print(f"\n{journal_mode}: {checkpoints} checkpoints, {result['rows']} rows written, longest transaction {result['longest_ms']:.0f} ms")

    def test_status_counts_one_moment_with_a_wal(self):
        self.follow("wal")

    def test_status_counts_one_moment_with_a_rollback_journal(self):
        self.follow("delete")

    def work_beside(self, journal_mode, busy_timeout_ms):
        """Every command that reads the database, again and again, while its owner writes as fast as it can."""
        file = self.make(journal_mode)
        owner = self.owner(file, 0, busy_timeout_ms)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not owner.pipe.poll():
            self.succeed("status", "app.db", "--json")
            self.succeed("search", "app.db", "upload failed", "--json")
            self.run_program("backfill", "app.db", "--json")  # 5: a text changed faster than it could be embedded
        result = owner.stop()
        self.assertEqual(result["failures"], [])
        self.assertGreater(result["rows"], 0)
        print(f"\n{journal_mode}: {result['rows']} rows written, longest transaction {result['longest_ms']:.0f} ms")
        self.run_program("backfill", "app.db")
        status = self.status()
        self.assertEqual((status["rows"], status["fresh"], status["orphan"]), (ROWS, ROWS, 0))

    def test_with_a_wal_an_owner_that_waits_for_nobody_never_fails(self):
        self.work_beside("wal", 0)

    def test_with_a_rollback_journal_an_owner_that_waits_a_second_never_fails(self):
        self.work_beside("delete", 1000)

    def test_a_view_without_an_order_holds_no_lock_while_it_is_embedded(self):
        file = self.make("delete")
        self.execute(file, "CREATE VIEW pair AS SELECT min(id) AS first, group_concat(body, ' ') AS text FROM note GROUP BY id / 2")
        self.succeed("store", "add", "pairs", "--database", "app.db", "--table", "pair", "--key", "first", "--text", "text")
        owner = self.owner(file, RATE, 1000)
        done = self.run_program("backfill", "--db", "pairs", "--json")
        self.assertIn(done.code, (0, 5), done.err)
        self.assertEqual(owner.stop()["failures"], [])


if __name__ == "__main__":
    unittest.main()
