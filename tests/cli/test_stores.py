"""store, status, stats and check."""

import unittest

from program import NOTES, ProgramTest


class Stores(ProgramTest):
    def add_notes(self, *options):
        self.make_notes()
        return self.succeed("store", "add", "notes", "--database", "app.db", "--table", "note", "--text", "title,body", *options)

    def test_list_names_the_six_and_makes_nothing(self):
        out = self.succeed("store", "list").out
        for name in ["bot", "workflow", "error", "information", "enhancement", "research"]:
            self.assertIn("\n" + name, out)
        self.assertEqual(list(self.folder.iterdir()), [])
        stores = self.succeed("store", "list", "--json").json["stores"]
        self.assertEqual(len(stores), 6)
        self.assertEqual((stores[0]["store"], stores[0]["class"], stores[0]["exists"]), ("bot", "BotDB", False))

    def test_create_makes_empty_databases(self):
        self.succeed("store", "create", "bot", "errors")
        self.assertEqual({file.name for file in self.folder.iterdir() if file.suffix == ".db"}, {"bots.db", "errors.db"})
        self.assertIn("already", self.succeed("store", "create", "bot").out)
        self.fail_with(2, "store", "create")
        self.fail_with(3, "store", "create", "bott")
        self.assertEqual(len(self.succeed("store", "create", "--all", "--jsonl").lines), 6)

    def test_a_declared_table(self):
        self.add_notes("--backend", "flat")
        self.assertIn("[store.notes]", (self.folder / "nearlite.toml").read_text())
        self.assertIn("notes: embedded 6", self.succeed("backfill", "--db", "notes").out)
        self.assertEqual(self.succeed("search", "--db", "notes", "soup", "--json").json["hits"][0]["key"], 4)
        shown = self.succeed("store", "show", "notes", "--json").json
        self.assertEqual((shown["store"], shown["table"], shown["backend"]), ("notes", "note", "flat"))
        self.assertIn("note", self.succeed("store", "show", "notes").out)

    def test_set_keeps_the_users_comments(self):
        self.add_notes()
        file = self.folder / "nearlite.toml"
        file.write_text("# mine\n" + file.read_text() + "# the end\n")
        self.succeed("store", "set", "notes", "backend=faiss", "where=id > 2")
        text = file.read_text()
        self.assertTrue(text.startswith("# mine\n"))
        self.assertIn("# the end", text)
        self.assertEqual(self.succeed("store", "show", "notes", "--json").json["backend"], "faiss")
        self.fail_with(2, "store", "set", "notes", "backend=anoy")
        self.fail_with(2, "store", "set", "notes", "bakend=annoy")
        self.fail_with(2, "store", "set", "notes", "backend")
        self.fail_with(3, "store", "set", "nots", "backend=annoy")

    def test_remove(self):
        self.add_notes()
        self.succeed("store", "remove", "notes")
        self.assertIn("notes", self.fail_with(3, "backfill", "--db", "notes"))
        self.assertTrue((self.folder / "app.db").exists())
        self.fail_with(2, "store", "remove", "bot")

    def test_add_refuses_what_cannot_be_read(self):
        self.make_notes()
        self.assertIn("note", self.fail_with(3, "store", "add", "x", "--database", "app.db", "--table", "nots", "--text", "body"))
        self.assertIn("body", self.fail_with(3, "store", "add", "x", "--database", "app.db", "--table", "note", "--text", "bdy"))
        self.fail_with(3, "store", "add", "x", "--database", "nosuch.db", "--table", "note", "--text", "body")
        self.fail_with(2, "store", "add", "bot", "--database", "app.db", "--table", "note", "--text", "body")
        self.fail_with(2, "store", "add", "../x", "--database", "app.db", "--table", "note", "--text", "body")
        self.assertFalse((self.folder / "nearlite.toml").exists())

    def test_status_adds_up(self):
        file = self.make_notes()
        self.succeed("index", "app.db", "--yes")
        self.execute(file, "UPDATE note SET body = 'something new to read about' WHERE id = 1")
        self.execute(file, "INSERT INTO note(title, body) VALUES ('New', 'a row that is new')")
        self.execute(file, "INSERT INTO note(title) VALUES (NULL)")
        self.execute(file, "DELETE FROM note WHERE id = 6")
        store = self.succeed("status", "app.db", "--json").json["stores"][0]
        self.assertEqual(set(store), {"store", "rows", "fresh", "stale_text", "stale_model", "missing", "blocked", "erased", "empty", "skipped",
                                      "orphan", "consistent", "oldest_lag_seconds", "model", "backend", "index_bytes", "sidecar_bytes",
                                      "last_backfill"})
        self.assertEqual((store["rows"], store["fresh"], store["stale_text"], store["missing"], store["empty"], store["orphan"]),
                         (7, 4, 1, 1, 1, 1))
        self.assertEqual(store["rows"], sum(store[name] for name in ["fresh", "stale_text", "stale_model", "missing", "blocked",
                                                                     "empty", "skipped"]))
        self.assertRegex(store["last_backfill"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*Z$")
        text = self.succeed("status", "app.db").out
        self.assertRegex(text.splitlines()[0], "^STORE +ROWS +FRESH")
        self.assertRegex(text.splitlines()[1], "^note +7 +4 +1 +0 +1")

    def test_status_of_a_store_that_was_never_embedded(self):
        self.make_bots(2)
        store = self.succeed("status", "--json").json["stores"][0]
        self.assertEqual((store["store"], store["rows"], store["missing"], store["last_backfill"]), ("bot", 2, 2, None))

    def test_stats_per_run_and_in_sum(self):
        file = self.make_notes()
        self.succeed("index", "app.db", "--yes")
        self.execute(file, "INSERT INTO note(title, body) VALUES ('New', 'a row that is new')")
        self.succeed("backfill", "app.db", "--session-id", "second")
        stats = self.succeed("stats", "app.db", "--json").json
        self.assertEqual([run["embedded"] for run in stats["runs"]], [len(NOTES), 1])
        self.assertEqual(stats["runs"][1]["session_id"], "second")
        self.assertEqual(stats["stores"][0]["embedded"], len(NOTES) + 1)
        self.assertGreater(stats["stores"][0]["tokens"], 0)
        self.assertIn("second", self.succeed("stats", "app.db").out)
        self.assertEqual(self.succeed("stats", "app.db", "--since", "2199-01-01", "--json").json["runs"], [])
        self.fail_with(2, "stats", "app.db", "--since", "yesterday")
        self.execute(file, "INSERT INTO note(body) VALUES (NULL)")
        self.succeed("backfill", "app.db")
        metrics = self.folder / "app.db.nearlite" / "metrics.db"
        rows = self.execute(metrics, "SELECT tokens, wall_ms, store_ms FROM embedding_stats WHERE db_name = 'note' ORDER BY rowid")
        self.assertEqual(len(rows), len(NOTES) + 2)  # one for each record, the last one skipped
        self.assertEqual(sum(tokens for tokens, _, _ in rows), stats["stores"][0]["tokens"])
        self.assertTrue(all(tokens > 2 and wall > 0 and store > 0 for tokens, wall, store in rows[:-1]), rows)
        self.assertEqual(rows[-1], (0, 0, 0))
        ids = self.execute(metrics, "SELECT vector_id, session_id FROM vector_metrics WHERE event_type = 'embedding' ORDER BY rowid")
        self.assertEqual(ids[len(NOTES)], (str(len(NOTES) + 1), "second"))
        self.assertEqual(self.execute(metrics, "SELECT count(*) FROM embedding_metrics WHERE wall_time < 60"), [(len(rows),)])

    def test_check_finds_and_repairs(self):
        self.make_notes()
        self.succeed("index", "app.db", "--yes", "--backend", "annoy")
        self.assertEqual(self.succeed("check", "app.db", "--json").json, {"ok": True, "findings": []})
        index = self.folder / "app.db.nearlite" / "note.index"
        index.write_bytes(index.read_bytes()[:-7])
        broken = self.run_program("check", "app.db", "--json")
        self.assertEqual(broken.code, 3)
        finding = broken.json["findings"][0]
        self.assertEqual(set(finding), {"code", "store", "file", "message", "repaired"})
        self.assertFalse(broken.json["ok"])
        self.assertIn(finding["code"], self.run_program("check", "app.db").out)
        self.succeed("check", "app.db", "--repair")
        self.assertTrue(self.succeed("check", "app.db", "--json").json["ok"])

    def test_check_of_a_damaged_vector(self):
        self.make_notes()
        self.succeed("index", "app.db", "--yes")
        sidecar = self.folder / "app.db.nearlite" / "note.sqlite"
        self.execute(sidecar, "UPDATE vector SET vector = zeroblob(length(vector)) WHERE slot = (SELECT min(slot) FROM vector)")
        self.assertEqual(self.run_program("check", "app.db").code, 3)
        self.assertEqual(self.succeed("search", "app.db", "soup", "--json").json["hits"][0]["key"], 4)

    def test_a_damaged_sidecar_is_refused(self):
        self.make_notes()
        self.succeed("index", "app.db", "--yes")
        sidecar = self.folder / "app.db.nearlite" / "note.sqlite"
        data = bytearray(sidecar.read_bytes())
        data[0:16] = b"not SQLite at all"[:16]
        sidecar.write_bytes(data)
        for command in [("search", "app.db", "soup"), ("status", "app.db"), ("check", "app.db"), ("backfill", "app.db")]:
            result = self.run_program(*command)
            self.assertEqual(result.code, 3, (command, result.err))
        self.assertEqual(sidecar.read_bytes(), bytes(data))


if __name__ == "__main__":
    unittest.main()
