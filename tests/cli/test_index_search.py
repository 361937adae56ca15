"""index and search on a user's own database."""

import json
import os
import pty
import select
import shutil
import sqlite3
import subprocess
import unittest

from program import BINARY, NOTES, ProgramTest, sha256


class IndexAndSearch(ProgramTest):
    def index(self, file="app.db", *arguments):
        return self.succeed("index", file, "--yes", *arguments)

    def test_a_database_is_made_searchable_and_stays_as_it_is(self):
        file = self.make_notes()
        before = sha256(file), os.stat(file).st_mtime_ns
        self.index()
        result = self.succeed("search", "app.db", "my upload does not work")
        self.assertRegex(result.out.splitlines()[0], r"^ 1  0\.\d{3}  note 2")
        self.assertIn("413", result.out)
        self.assertEqual(before, (sha256(file), os.stat(file).st_mtime_ns))
        self.assertEqual({entry.name for entry in self.folder.iterdir()}, {"app.db", "app.db.nearlite"})

    def test_texts_longer_than_the_model_reads_are_told_before_the_run(self):
        long = "The disk of the server is full again. " * 60
        self.make_notes(rows=[("One", long), ("Two", "short"), ("Three", long)])
        priced = self.succeed("index", "app.db", "--dry-run", "--json").json["proposal"]
        self.assertEqual((priced["language"], priced["max_tokens"]), ("English", 256))
        table = priced["tables"][0]
        self.assertEqual((table["rows"], table["texts"], table["longer"], table["counted"]), (3, 3, 2, "all"))
        self.assertGreater(table["passages"], 4)
        self.assertGreater(table["estimated_ms"], 0)
        done = self.run_program("index", "app.db", "--yes", "--json")
        self.assertIn("English, 256 tokens; 2 of 3 texts are longer: cut into passages", done.err)
        result = done.json[0]
        self.assertEqual((result["passages"], result["tokens"], result["longer"]),
                         (table["passages"], table["tokens"], 2))
        self.assertIn("(0 texts are longer than the model reads)", self.succeed("index", "app.db", "--dry-run").out)

    def test_the_sidecar_folder(self):
        file = self.make_notes()
        os.chmod(file, 0o600)
        self.index()
        sidecar = self.folder / "app.db.nearlite"
        self.assertEqual((sidecar / ".gitignore").read_text(), "*\n")
        self.assertEqual(os.stat(sidecar).st_mode & 0o777, 0o700)
        for name in ["nearlite.toml", "note.sqlite", "metrics.db"]:
            self.assertTrue((sidecar / name).exists(), name)

    def test_search_as_json(self):
        self.make_notes()
        self.index()
        document = self.succeed("search", "app.db", "how do I reset my password?", "-k", "2", "--json").json
        self.assertEqual(list(document)[:3], ["query", "k", "complete"])
        self.assertEqual((document["query"], document["k"], document["complete"]), ("how do I reset my password?", 2, True))
        self.assertEqual(set(document["stores"][0]), {"store", "records", "path", "recall", "candidates", "took_ms"})
        self.assertEqual((document["stores"][0]["store"], document["stores"][0]["records"]), ("note", len(NOTES)))
        hit = document["hits"][0]
        self.assertEqual([h["rank"] for h in document["hits"]], [1, 2])
        self.assertEqual(set(hit), {"rank", "store", "key", "score", "similarity", "confidence", "stale", "reason", "signals",
                                    "snippet", "fields"})
        self.assertEqual((hit["store"], hit["key"], hit["confidence"], hit["stale"]), ("note", 1, None, False))
        self.assertEqual(hit["reason"], f"high vector similarity (similarity={hit['similarity']:.2f})")
        self.assertEqual(set(hit["signals"]), {"similarity", "keyword"})
        self.assertEqual(hit["signals"]["similarity"], hit["similarity"])
        self.assertEqual(hit["fields"]["title"], "Password reset")
        self.assertIn("calibrated", document["confidence_note"])
        self.assertGreaterEqual(hit["score"], document["hits"][1]["score"])

    def test_search_by_words_needs_no_model(self):
        self.make_notes()
        self.index()
        found = self.succeed("search", "app.db", "PASSWORDS -lamp", "--mode", "keyword", "--json",
                             env={"NEARLITE_MODEL": "/no/such/model"}).json
        self.assertEqual([h["key"] for h in found["hits"]], [1])
        self.assertIsNone(found["hits"][0]["similarity"])
        self.assertEqual(found["stores"][0]["path"], "keyword")
        for odd in ('"', "x AND", "NEAR(", "a:b", "^*", "(' OR"):
            self.succeed("search", "app.db", odd, "--mode", "keyword")

    def test_search_as_json_lines(self):
        self.make_notes()
        self.index()
        hits = self.succeed("search", "app.db", "soup", "-k", "3", "--jsonl").lines
        self.assertEqual([hit["rank"] for hit in hits], [1, 2, 3])
        self.assertEqual(hits[0]["key"], 4)

    def test_the_question_may_come_from_stdin_or_look_like_anything(self):
        self.make_notes()
        self.index()
        asked = self.succeed("search", "app.db", "-", "--json", stdin="soup with\ntomatoes\n").json
        self.assertEqual(asked["query"], "soup with\ntomatoes")
        self.assertEqual(asked["hits"][0]["key"], 4)
        self.assertEqual(self.succeed("search", "app.db", "--json", "--", "--help me").json["query"], "--help me")
        self.assertEqual(self.succeed("search", "app.db", "status", "--json").json["query"], "status")
        self.fail_with(2, "search", "app.db", "  ")
        self.fail_with(2, "search", "app.db", b"caf\xe9")

    def test_options_of_search(self):
        self.make_notes()
        self.index()
        for option in ["-k", "-n", "--limit"]:
            self.assertEqual(len(self.succeed("search", "app.db", "disk", option, "2", "--json").json["hits"]), 2)
        where = self.succeed("search", "app.db", "disk", "--where", "id > 4", "--json").json
        self.assertEqual({hit["key"] for hit in where["hits"]}, {5, 6})
        fields = self.succeed("search", "app.db", "disk", "--fields", "author", "--json").json
        self.assertEqual(fields["hits"][0]["fields"]["author"], "anna")
        exact = self.succeed("search", "app.db", "disk", "--exact", "--json").json
        self.assertEqual((exact["stores"][0]["path"], exact["stores"][0]["recall"]), ("exact", 1.0))
        self.assertGreaterEqual(exact["stores"][0]["candidates"], len(exact["hits"]))
        explained = self.succeed("search", "app.db", "disk", "--explain")
        self.assertIn("high vector similarity", explained.out)
        unsure = self.succeed("search", "app.db", "disk", "--min-confidence", "0.9")
        self.assertIn("calibrated", unsure.err)
        self.assertIn("note 3", unsure.out)
        self.assertEqual(self.succeed("search", "app.db", "disk", "--quiet").err, "")

    def test_wrong_conditions_and_columns(self):
        self.make_notes()
        self.index()
        self.fail_with(2, "search", "app.db", "disk", "--where", "id >")
        self.fail_with(2, "search", "app.db", "disk", "--where", "1; DROP TABLE note")
        self.assertIn("author", self.fail_with(3, "search", "app.db", "disk", "--fields", "autor"))

    def test_without_consent_nothing_is_written(self):
        self.make_notes()
        result = self.run_program("index", "app.db")
        self.assertEqual(result.code, 2)
        self.assertIn("nearlite index app.db --yes", result.err)
        self.assertIn("title", result.out)
        self.assertIn("256 tokens", result.out)
        self.assertFalse((self.folder / "app.db.nearlite").exists())
        dry_run = self.succeed("index", "app.db", "--dry-run").out
        self.assertRegex(dry_run, r"note: 6 rows, \d+ tokens, about .*, about ")
        self.assertRegex(dry_run, r"model: .* \(English, 256 tokens; no text is longer\)")
        self.assertEqual(dry_run.splitlines()[1:], result.out.splitlines()[1:])  # the first line has a measured time
        self.assertFalse((self.folder / "app.db.nearlite").exists())

    def test_the_proposal_as_json(self):
        self.make_notes(extra="CREATE TABLE account(id INTEGER PRIMARY KEY, password_hash TEXT);")
        proposal = self.succeed("index", "app.db", "--dry-run", "--json").json["proposal"]
        table = proposal["tables"][0]
        self.assertEqual((table["store"], table["table"], table["key"], table["rows"]), ("note", "note", ["id"], len(NOTES)))
        self.assertIn("body", [column["column"] for column in table["columns"]])
        self.assertTrue(all(column["reason"] for column in table["columns"]))
        self.assertTrue(any(part["table"] == "account" for part in proposal["left_out"]))

    def test_explicit_tables_are_consent(self):
        self.make_notes()
        self.assertIn("body", self.fail_with(3, "index", "app.db", "--table", "note:bodi"))
        self.succeed("index", "app.db", "--table", "note:body", "--name", "texts", "--backend", "flat")
        document = self.succeed("search", "app.db", "soup", "--db", "texts", "--json").json
        self.assertEqual(document["hits"][0]["store"], "texts")
        self.assertNotIn("Tomato soup", document["hits"][0]["snippet"])
        self.assertIn("note", self.fail_with(3, "index", "app.db", "--table", "nots"))
        self.assertIn("body", self.fail_with(2, "index", "app.db", "--table", "note:title"))

    def test_again_is_a_refresh(self):
        file = self.make_notes()
        first = self.succeed("index", "app.db", "--yes", "--json").json
        self.assertEqual((first[0]["store"], first[0]["embedded"], first[0]["skipped"]), ("note", len(NOTES), 0))
        again = self.succeed("index", "app.db", "--json").json[0]
        self.assertEqual((again["embedded"], again["unchanged"]), (0, len(NOTES)))
        self.execute(file, "UPDATE note SET body = 'Green curry needs coconut milk' WHERE id = 4")
        self.execute(file, "DELETE FROM note WHERE id = 2")
        self.execute(file, "INSERT INTO note(title, body) VALUES ('Lamp', 'The lamp in the corridor is broken')")
        changed = self.succeed("index", "app.db", "--json").json[0]
        self.assertEqual((changed["embedded"], changed["removed"]), (2, 1))
        self.assertEqual(self.succeed("search", "app.db", "coconut", "--json").json["hits"][0]["key"], 4)

    def test_an_option_that_a_refresh_would_pass_over_is_refused(self):
        self.make_notes()
        given = ("index", "app.db", "--table", "note:body", "--where", "id < 4", "--name", "mine")
        self.succeed(*given)
        self.assertEqual(self.succeed(*given, "--json").json[0]["unchanged"], 3)  # the same again is a refresh
        for option in (["--where", "id < 3"], ["--key", "title"], ["--column", "title"], ["--name", "other"], ["--exclude-table", "note"]):
            self.assertIn(option[0] + " has no effect", self.fail_with(2, "index", "app.db", *option))
        message = self.fail_with(2, "index", "app.db", "--model", "org/other")
        self.assertIn("nearlite store set mine --model org/other", message)
        self.assertEqual(self.succeed("status", "app.db", "--json").json["stores"][0]["rows"], 3)

    def test_names_in_quotes_may_hold_anything(self):
        file = self.folder / "app.db"
        self.execute(file, 'CREATE TABLE "a:b, c"(id INTEGER PRIMARY KEY, "x,y" TEXT, "say ""hi"":" TEXT)')
        self.execute(file, """INSERT INTO "a:b, c" VALUES (1, 'The lamp is broken', 'Upload failed again')""")
        done = self.succeed("index", "app.db", "--table", '"a:b, c":"x,y","say ""hi"":"', "--json").json[0]
        self.assertEqual((done["store"], done["embedded"]), ("a_b__c", 1))
        hit = self.succeed("search", "app.db", "upload", "--fields", '"x,y"', "--json").json["hits"][0]
        self.assertEqual(hit["fields"]["x,y"], "The lamp is broken")
        self.assertEqual(hit["fields"]['say "hi":'], "Upload failed again")

    def test_a_dry_run_of_a_refresh(self):
        file = self.make_notes()
        self.index()
        self.execute(file, "UPDATE note SET body = 'Green curry needs coconut milk' WHERE id = 4")
        self.assertIn("note: would embed 1 row", self.succeed("index", "app.db", "--dry-run").out)
        self.assertEqual(self.succeed("status", "app.db", "--json").json["stores"][0]["stale_text"], 1)

    def test_a_file_name_that_is_not_utf8(self):
        self.make_notes()
        name = os.fsencode(self.folder) + b"/caf\xe9.db"
        shutil.copy(self.folder / "app.db", name)
        self.assertIn("caf\\xe9.db", self.fail_with(2, "index", name, "--yes"))
        self.assertFalse(os.path.exists(name + b".nearlite"))

    def test_new_tables_are_told_and_added_on_demand(self):
        file = self.make_notes()
        self.index()
        self.execute(file, "CREATE TABLE recipe(id INTEGER PRIMARY KEY, steps TEXT)")
        self.execute(file, "INSERT INTO recipe(steps) VALUES ('Knead the dough for ten minutes and let it rest over night')")
        result = self.succeed("index", "app.db")
        self.assertIn("recipe", result.err)
        self.assertIn("--propose", result.err)
        self.succeed("index", "app.db", "--propose", "--yes")
        self.assertEqual(self.succeed("search", "app.db", "bread", "--json").json["hits"][0]["store"], "recipe")

    def test_rows_not_searched_yet_are_told(self):
        file = self.make_notes()
        self.index()
        self.assertNotIn("not searched yet", self.succeed("search", "app.db", "soup").err)
        self.execute(file, "INSERT INTO note(title, body) VALUES ('Bicycle', 'The bicycle has a flat tyre')")
        result = self.succeed("search", "app.db", "bicycle")
        self.assertIn("1 of 7 rows is not searched yet", result.err)
        self.assertIn("nearlite index", result.err)
        refreshed = self.succeed("search", "app.db", "bicycle", "--refresh", "--json").json
        self.assertEqual(refreshed["hits"][0]["key"], 7)

    def test_every_hit_is_true(self):
        file = self.make_notes()
        self.index()
        self.execute(file, "DELETE FROM note WHERE id = 4")
        self.execute(file, "UPDATE note SET body = body || ' It was cleaned up.' WHERE id = 3")
        hits = self.succeed("search", "app.db", "soup, or the disk is full", "--json").json["hits"]
        self.assertNotIn(4, [hit["key"] for hit in hits])
        self.assertEqual({hit["key"]: hit["stale"] for hit in hits}[3], True)
        self.assertEqual({hit["key"]: hit["stale"] for hit in hits}[1], False)

    def test_keys_of_every_form(self):
        with sqlite3.connect(self.folder / "keys.db") as db:
            db.executescript("""
                CREATE TABLE page(slug TEXT PRIMARY KEY, body TEXT);
                INSERT INTO page VALUES ('soup/tomato', 'Cook the tomatoes with onions and garlic for twenty minutes');
                CREATE TABLE line(file TEXT, number INTEGER, body TEXT, PRIMARY KEY(file, number)) WITHOUT ROWID;
                INSERT INTO line VALUES ('a', 1, 'The fast train leaves Berlin at nine in the morning');""")
        db.close()
        self.index("keys.db")
        hits = self.succeed("search", "keys.db", "tomato soup", "--json").json["hits"]
        self.assertEqual({hit["store"]: hit["key"] for hit in hits}, {"page": "soup/tomato", "line": ["a", 1]})

    def test_two_files_give_one_list(self):
        self.make_notes("a.db", NOTES[:3])
        self.make_notes("b.db", NOTES[3:])
        self.index("a.db")
        self.index("b.db")
        document = self.succeed("search", "a.db", "b.db", "tomato soup", "--json").json
        self.assertEqual(len(document["hits"]), 6)
        self.assertEqual(len({hit["store"] for hit in document["hits"]}), 2)
        folder = self.succeed("search", "tomato soup", "--json").json
        self.assertEqual([hit["snippet"] for hit in folder["hits"]], [hit["snippet"] for hit in document["hits"]])
        only = self.succeed("search", "tomato soup", "--db", "a.db", "--json").json
        self.assertEqual(len(only["hits"]), 3)

    def test_a_sidecar_elsewhere(self):
        self.make_notes()
        self.index("app.db", "--sidecar", "elsewhere")
        self.assertFalse((self.folder / "app.db.nearlite").exists())
        hits = self.succeed("search", "app.db", "soup", "--sidecar", "elsewhere", "--json").json["hits"]
        self.assertEqual(hits[0]["key"], 4)

    def test_a_file_that_was_never_indexed(self):
        self.make_notes()
        self.assertIn("nearlite index", self.fail_with(3, "search", "app.db", "soup"))
        self.make_notes("recorded.db")
        self.succeed("index", "recorded.db", "--table", "note:title")
        self.assertIn("body", self.fail_with(3, "index", "recorded.db", "--table", "note:boby"))
        self.fail_with(2, "index", "recorded.db", "--table", "note:body")
        self.assertIn("nosuch.db", self.fail_with(3, "index", "nosuch.db"))
        (self.folder / "text.db").write_text("no database at all, just some text " * 50)
        self.fail_with(3, "index", "text.db", "--yes")
        self.assertFalse((self.folder / "text.db.nearlite").exists())

    def test_records_that_cannot_be_embedded_do_not_stop_the_others(self):
        file = self.make_notes()
        self.execute(file, "INSERT INTO note(title, body) VALUES (NULL, NULL)")
        self.execute(file, "INSERT INTO note(title, body) VALUES ('  ', '')")
        self.execute(file, "INSERT INTO note(title, body) VALUES (x'00ff', x'ff')")
        self.execute(file, "INSERT INTO note(title, body) VALUES ('bad', CAST(x'c328a0' AS TEXT))")
        result = self.succeed("index", "app.db", "--table", "note:title,body", "--json").json[0]
        self.assertEqual(result["embedded"], len(NOTES))
        reasons = {skipped["key"]: skipped["reason"] for skipped in result["skipped_records"]}
        self.assertIn(10, reasons)
        status = self.succeed("status", "app.db", "--json").json["stores"][0]
        self.assertEqual(status["rows"], len(NOTES) + 4)
        self.assertEqual(status["fresh"], len(NOTES))
        self.assertEqual(status["empty"] + status["skipped"], 4)
        self.assertEqual(self.succeed("search", "app.db", "soup", "--json").json["hits"][0]["key"], 4)
        self.assertEqual(self.run_program("backfill", "app.db", "--strict").code, 5)

    def test_texts_of_others_do_not_steer_the_terminal(self):
        self.make_notes(rows=[("Evil \x1b[2J", "A text with \x1b]0;title\x07 escape sequences and \u009b31m more of them")])
        self.index()
        out = self.succeed("search", "app.db", "escape sequences").out
        self.assertNotIn("\x1b", out)
        self.assertNotIn("\x07", out)
        self.assertNotIn("\u009b", out)
        self.assertIn("\\x1b", out)

    def test_damaged_derived_files_are_rebuilt(self):
        self.make_notes()
        self.index("app.db", "--backend", "annoy")
        sidecar = self.folder / "app.db.nearlite"
        expected = self.succeed("search", "app.db", "soup", "--json").json["hits"]
        derived = [file for file in sidecar.rglob("*") if file.is_file() and (".vec" in str(file.parent) or file.suffix in (".index", ".json"))]
        self.assertTrue(any(file.suffix == ".index" for file in derived))
        for damage in [lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
                       lambda file: file.write_bytes(b"\xff" * file.stat().st_size),
                       lambda file: file.unlink()]:
            for file in [file for file in sidecar.rglob("*") if file.is_file() and (".vec" in str(file.parent) or file.suffix in (".index", ".json"))]:
                damage(file)
            hits = self.succeed("search", "app.db", "soup", "--json", env={"NEARLITE_MODEL": None}).json["hits"]
            self.assertEqual(hits, expected)
            self.succeed("check", "app.db", "--repair")
            self.assertTrue(self.succeed("check", "app.db", "--json").json["ok"])

    def test_a_foreign_file_in_the_place_of_the_sidecar_is_never_written_to(self):
        self.make_notes()
        self.index()
        sidecar = self.folder / "app.db.nearlite" / "note.sqlite"
        for rest in ["-wal", "-shm"]:
            (sidecar.parent / (sidecar.name + rest)).unlink(missing_ok=True)
        sidecar.unlink()
        with sqlite3.connect(sidecar) as db:
            db.execute("CREATE TABLE mine(x)")
        db.close()
        before = sha256(sidecar)
        for command in [("search", "app.db", "soup"), ("backfill", "app.db"), ("index", "app.db")]:
            self.assertEqual(self.run_program(*command).code, 3, command)
        self.assertEqual(sha256(sidecar), before)

    def test_a_locked_database_is_told(self):
        file = self.make_notes()
        self.index()
        db = sqlite3.connect(file, isolation_level=None)
        db.execute("BEGIN EXCLUSIVE")
        result = self.run_program("search", "app.db", "soup")
        db.rollback()
        db.close()
        self.assertEqual(result.code, 4, result.err)

    def test_a_question_on_a_terminal(self):
        self.make_notes()
        for answer, code in [(b"n\n", 0), (b"\n", 0)]:
            master, slave = pty.openpty()
            process = subprocess.Popen([BINARY, "index", "app.db"], cwd=self.folder, stdin=slave, stderr=slave,
                                       stdout=subprocess.PIPE, env=self.environment(TERM="xterm"))
            os.close(slave)
            seen = b""
            while b"[Y/n]" not in seen and select.select([master], [], [], 60)[0]:
                seen += os.read(master, 4096)
            self.assertIn(b"Index these tables? [Y/n]", seen)
            os.write(master, answer)
            while True:
                try:
                    if not os.read(master, 4096):
                        break
                except OSError:
                    break
            process.communicate(timeout=60)
            os.close(master)
            self.assertEqual(process.returncode, code)
            self.assertEqual((self.folder / "app.db.nearlite").exists(), answer == b"\n")

    def test_a_full_disk_behind_stdout_loses_no_work(self):
        self.make_notes()
        with open("/dev/full", "wb") as full:
            process = self.start("index", "app.db", "--yes", stdout=full)
            process.communicate(timeout=60)
        self.assertEqual(process.returncode, 4)

    def test_a_moved_database_takes_its_sidecar_along(self):
        self.make_notes()
        self.index()
        (self.folder / "moved").mkdir()
        shutil.move(self.folder / "app.db", self.folder / "moved" / "app.db")
        shutil.move(self.folder / "app.db.nearlite", self.folder / "moved" / "app.db.nearlite")
        self.assertEqual(self.succeed("search", "moved/app.db", "soup", "--json").json["hits"][0]["key"], 4)


if __name__ == "__main__":
    unittest.main()
