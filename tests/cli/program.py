"""Runs the program nearlite on files of its own: the base of the tests in this folder.

NEARLITE_BINARY names the program; NEARLITE_TEST_MODEL, if set, a folder with all-MiniLM-L6-v2 (else the user's caches are looked at).
"""

import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

BINARY = os.environ.get(
    "NEARLITE_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "build/release/bin/nearlite"))

NOTES = [
    ("Password reset", "To reset your password open the login page and choose 'forgot password'. A mail with a link follows."),
    ("Upload fails", "Uploading a file fails with error 413 when it is larger than the limit of the web server."),
    ("Disk full", "When the disk is full the database cannot write and every transaction is rolled back."),
    ("Tomato soup", "Cook the tomatoes with onions and garlic for twenty minutes, then add cream and basil."),
    ("Train to Hamburg", "The fast train leaves Berlin at nine in the morning and takes two hours."),
    ("Printer", "The printer on the second floor is out of paper and blinks red."),
]


class Result:
    def __init__(self, process, out, err):
        self.code, self.out, self.err = process.returncode, out, err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


def sha256(file):
    return hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()


class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nearlite-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def environment(self, **changes):
        hidden = ("NEARLITE_", "HF_", "EMBEDDING_SCHEDULER_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        if model := os.environ.get("NEARLITE_TEST_MODEL"):
            env["NEARLITE_MODEL"] = model
        env["HF_HUB_OFFLINE"] = "1"
        env["NO_COLOR"] = "1"
        env.update(changes)
        return {name: value for name, value in env.items() if value is not None}

    def start(self, *arguments, env=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([BINARY, *map(os.fspath, arguments)], cwd=self.folder, env=self.environment(**(env or {})), **options)

    def run_program(self, *arguments, stdin=None, env=None, timeout=120, **options):
        if stdin is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*arguments, env=env, **options)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = process.communicate(data, timeout=timeout)
        return Result(process, (out or b"").decode(), (err or b"").decode())

    def succeed(self, *arguments, **options):
        result = self.run_program(*arguments, **options)
        self.assertEqual(result.code, 0, result.err + result.out)
        return result

    def fail_with(self, code, *arguments, **options):
        """The program ends with this exit code and one line on stderr; its message is returned."""
        result = self.run_program(*arguments, **options)
        self.assertEqual(result.code, code, result.err + result.out)
        last = result.err.rstrip("\n").splitlines()[-1]
        self.assertTrue(last.startswith("nearlite: "), result.err)
        return result.err

    def make_notes(self, name="app.db", rows=None, extra=""):
        file = self.folder / name
        with sqlite3.connect(file) as db:
            db.executescript("CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT, body TEXT, author TEXT);" + extra)
            rows = NOTES if rows is None else rows
            db.executemany("INSERT INTO note(title, body, author) VALUES (?, ?, 'anna')", rows)
        db.close()
        return file

    def execute(self, file, sql, parameters=()):
        db = sqlite3.connect(file)
        with db:
            rows = db.execute(sql, parameters).fetchall()
        db.close()
        return rows

    def make_bots(self, count=5):
        """bots.db as `store create bot` makes it, with some rows."""
        self.succeed("store", "create", "bot")
        db = sqlite3.connect(self.folder / "bots.db")
        columns = [row[1] for row in db.execute("PRAGMA table_info(bots)")]
        self.assertIn("purpose", columns)
        with db:
            for i in range(count):
                title, body = NOTES[i % len(NOTES)]
                values = {"name": f"{title} {i}", "purpose": f"{body} Number {i}."}
                for row in db.execute("PRAGMA table_info(bots)").fetchall():
                    if row[3] and row[4] is None and row[5] == 0 and row[1] not in values:  # NOT NULL without default
                        values[row[1]] = f"{row[1]}-{i}"
                names = ", ".join(values)
                db.execute(f"INSERT INTO bots({names}) VALUES ({', '.join('?' * len(values))})", list(values.values()))
        db.close()

    def vectors(self, file):
        """key -> vectors of a sidecar, to compare two of them."""
        return sorted(self.execute(file, "SELECT record_key, passage, vector FROM vector JOIN record ON record.id = vector.record"))
