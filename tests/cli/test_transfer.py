"""import and export, beside what others make of the same files; changes of a store's model; broken configuration."""

import json
import os
import shutil
import sqlite3
import time
import unittest

import numpy
import sqlite_vec

from program import NOTES, ProgramTest, sha256

# As the command-line tool llm documents its tables.
LLM_TABLES = """
CREATE TABLE [collections] ([id] INTEGER PRIMARY KEY, [name] TEXT, [model] TEXT);
CREATE UNIQUE INDEX [idx_collections_name] ON [collections] ([name]);
CREATE TABLE "embeddings" ([collection_id] INTEGER REFERENCES [collections]([id]), [id] TEXT, [embedding] BLOB, [content] TEXT,
  [content_blob] BLOB, [content_hash] BLOB, [metadata] TEXT, [updated] INTEGER, PRIMARY KEY ([collection_id], [id]));
CREATE INDEX [idx_embeddings_content_hash] ON [embeddings] ([content_hash]);
"""


class Transfer(ProgramTest):
    def setUp(self):
        super().setUp()
        long = "The disk of the server is full again, and nobody knows why. " * 40
        self.make_notes(rows=[*NOTES, ("Long", long)])
        self.succeed("index", "app.db", "--yes", "--name", "note", "--table", "note")

    def vectors_of(self, file="app.db.nearlite/note.sqlite"):
        return self.execute(self.folder / file, "SELECT record_key, passage, vector FROM vector JOIN record "
                            "ON record.id = vector.record ORDER BY CAST(record_key AS INTEGER), passage")

    def test_npy_holds_what_the_sidecar_holds_and_comes_back_without_the_model(self):
        done = self.succeed("export", "app.db", "--out", "vectors.npy", "--json").json
        self.assertEqual(done["stores"], [{"store": "note", "records": 7, "vectors": len(self.vectors_of())}])
        matrix = numpy.load(self.folder / "vectors.npy")
        self.assertEqual((matrix.dtype, matrix.shape), (numpy.float32, (len(self.vectors_of()), 384)))
        for row, (key, passage, blob) in zip(matrix, self.vectors_of()):
            self.assertEqual(row.tobytes(), blob)
        keys = [json.loads(line) for line in (self.folder / "vectors.keys.jsonl").read_text().splitlines()]
        self.assertEqual([(json.dumps(k["key"]), k["passage"]) for k in keys], [v[:2] for v in self.vectors_of()])
        before = self.vectors_of()
        shutil.rmtree(self.folder / "app.db.nearlite" / "note.vec", ignore_errors=True)
        (self.folder / "app.db.nearlite" / "note.sqlite").unlink()
        taken = self.succeed("import", "app.db", "--db", "note", "--from", "vectors.npy", "--json").json
        self.assertEqual((taken["imported"], taken["refused"]), (7, 0))
        self.assertEqual(self.vectors_of(), before)
        self.assertEqual(self.succeed("backfill", "app.db", "--json").json[0]["unchanged"], 7)

    def test_a_text_that_changed_or_another_model_is_refused(self):
        self.succeed("export", "app.db", "--out", "vectors.jsonl")
        self.execute(self.folder / "app.db", "UPDATE note SET body = 'another text' WHERE id = 2")
        (self.folder / "app.db.nearlite" / "note.sqlite").unlink()
        result = self.succeed("import", "app.db", "--db", "note", "--from", "vectors.jsonl", "--json").json
        self.assertEqual((result["imported"], result["refused"]), (6, 1))
        self.assertEqual(result["refused_records"], [{"key": "2", "reason": "the text is another now"}])
        lines = [json.loads(line) for line in (self.folder / "vectors.jsonl").read_text().splitlines()]
        for line in lines:
            line["identity"] = "f" * 32
        (self.folder / "other.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        failed = self.run_program("import", "app.db", "--db", "note", "--from", "other.jsonl")
        self.assertEqual(failed.code, 5)
        self.assertIn("the store uses", failed.err)

    def test_files_that_are_something_else(self):
        numpy.save(self.folder / "doubles.npy", numpy.zeros((2, 3)))
        numpy.save(self.folder / "flat.npy", numpy.zeros(6, numpy.float32))
        numpy.save(self.folder / "fortran.npy", numpy.asfortranarray(numpy.ones((3, 4), numpy.float32)))
        numpy.save(self.folder / "few.npy", numpy.ones((1, 384), numpy.float32))
        (self.folder / "few.keys.jsonl").write_text('{"key": 1}\n{"key": 2}\n')
        (self.folder / "cut.npy").write_bytes((self.folder / "few.npy").read_bytes()[:500])
        (self.folder / "bad.jsonl").write_text('{"key": 1, "vector": [1, 2]}\n{"key": ')
        (self.folder / "keyless.jsonl").write_text('{"vector": [1, 2]}\n')
        for name in ["doubles.npy", "flat.npy", "fortran.npy", "few.npy", "cut.npy", "bad.jsonl", "keyless.jsonl"]:
            with self.subTest(name):
                self.assertIn(name.split(".")[0], self.fail_with(3, "import", "app.db", "--db", "note", "--from", name))
        self.assertIn("no file", self.fail_with(3, "import", "app.db", "--db", "note", "--from", "none.jsonl"))
        self.assertEqual(self.succeed("check", "app.db").code, 0)

    def test_sqlite_is_laid_out_as_llm_does_and_sqlite_vec_reads_it(self):
        self.succeed("export", "app.db", "--out", "out.db")
        wanted = sqlite3.connect(":memory:")
        wanted.executescript(LLM_TABLES)
        db = sqlite3.connect(self.folder / "out.db")
        for table in ["collections", "embeddings"]:
            self.assertEqual([row[1:3] for row in db.execute(f"PRAGMA table_info({table})")],
                             [row[1:3] for row in wanted.execute(f"PRAGMA table_info({table})")])
        rows = db.execute("SELECT id, embedding FROM embeddings").fetchall()
        self.assertEqual([blob for _, blob in rows], [blob for _, _, blob in self.vectors_of()])
        db.enable_load_extension(True)
        sqlite_vec.load(db)
        matrix = numpy.stack([numpy.frombuffer(blob, numpy.float32) for _, blob in rows])
        for (key, blob), cosines in zip(rows, matrix @ matrix.T):
            by_distance = db.execute("SELECT id FROM embeddings ORDER BY vec_distance_cosine(embedding, ?) LIMIT 3", (blob,)).fetchall()
            self.assertEqual([id for id, in by_distance], [rows[i][0] for i in numpy.argsort(-cosines)[:3]], key)
        self.assertEqual(db.execute("SELECT name FROM collections").fetchall(), [("note",)])
        db.close()
        self.assertIn("exists already", self.fail_with(2, "export", "app.db", "--out", "out.db"))

    def test_a_blob_column_of_others_is_a_store_of_its_own(self):
        file = self.folder / "llm.db"
        db = sqlite3.connect(file)
        db.executescript(LLM_TABLES)
        db.execute("INSERT INTO collections VALUES (1, 'notes', 'x')")
        for key, _, blob in self.vectors_of()[:4]:
            db.execute("INSERT INTO embeddings(collection_id, id, embedding, content, updated) VALUES (1, ?, ?, 'text', 1)", (key, blob))
        db.execute("INSERT INTO embeddings(collection_id, id, embedding, updated) VALUES (1, 'broken', x'0102', 1)")
        db.commit()
        db.close()
        before = sha256(file)
        self.succeed("store", "add", "mine", "--database", "llm.db", "--table", "embeddings", "--vector", "embedding",
                     "--text", "content", "--updated", "updated")
        done = self.succeed("backfill", "--db", "mine", "--json").json[0]
        self.assertEqual((done["embedded"], done["skipped"], done["tokens"]), (4, 1, 0))
        self.assertIn("2 bytes", done["skipped_records"][0]["reason"])
        hits = self.succeed("search", "--db", "mine", "uploading a large file fails", "--json").json["hits"]
        self.assertEqual(hits[0]["key"], [1, "2"])
        self.assertEqual(sha256(file), before)
        status = self.run_program("status", "--db", "mine", "--json").json["stores"][0]
        self.assertEqual((status["fresh"], status["updated"]), (4, "updated"))


class ModelChange(ProgramTest):
    def setUp(self):
        super().setUp()
        self.make_notes()
        self.succeed("store", "add", "note", "--database", "app.db", "--table", "note", "--text", "title,body", "--backend", "annoy")
        self.succeed("backfill", "--db", "note")
        # The same weights, cut at another length: another model.
        first = self.succeed("model", "path", os.environ.get("NEARLITE_TEST_MODEL", "all-MiniLM-L6-v2")).out.strip()
        self.second = self.folder / "second"
        shutil.copytree(first, self.second)
        config = self.second / "sentence_bert_config.json"
        settings = json.loads(config.read_text())
        config.write_text(json.dumps({**settings, "max_seq_length": 64}))

    def generation(self):
        return self.succeed("store", "show", "note", "--json").json

    def test_grows_beside_the_present_vectors_and_is_switched_and_rolled_back(self):
        first = self.generation()
        dry = self.succeed("store", "set", "note", "--model", self.second, "--dry-run", "--json").json
        self.assertEqual((dry["embedded"], dry["switched"]), (6, False))
        self.assertGreater(dry["estimated_bytes"], 6 * 384 * 4)
        self.assertEqual(self.generation(), first)
        out = self.succeed("store", "set", "note", "--model", self.second).out
        self.assertIn("switched to", out)
        second = self.generation()
        self.assertEqual((second["generation"], second["model"]), (2, str(self.second)))
        self.assertTrue(second["sidecar"].endswith("note.g2.sqlite"))
        status = self.succeed("status", "--db", "note", "--json").json["stores"][0]
        self.assertEqual((status["fresh"], status["stale_model"]), (6, 0))
        self.assertEqual(self.succeed("search", "--db", "note", "upload fails", "--json").json["hits"][0]["key"], 2)
        self.succeed("backfill", "--db", "note")
        self.succeed("check", "--db", "note")
        self.execute(self.folder / "app.db", "DELETE FROM note WHERE id = 1")
        self.succeed("store", "set", "note", "--rollback")
        self.assertEqual(self.generation()["generation"], 1)
        status = self.succeed("status", "--db", "note", "--json").json["stores"][0]
        self.assertEqual((status["fresh"], status["orphan"]), (5, 0))

    def test_a_model_that_is_not_there_changes_nothing(self):
        before = (self.folder / "nearlite.toml").read_text()
        self.fail_with(3, "store", "set", "note", "--model", "nobody/nothing")
        self.assertEqual((self.folder / "nearlite.toml").read_text(), before)
        self.assertIn("no model before", self.fail_with(3, "store", "set", "note", "--rollback"))

    def test_interrupted_it_answers_as_before_and_goes_on(self):
        process = self.start("store", "set", "note", "--model", self.second)
        time.sleep(0.2)
        process.kill()
        process.communicate()
        self.assertEqual(self.succeed("search", "--db", "note", "upload fails", "--json").json["hits"][0]["key"], 2)
        if self.generation()["generation"] == 1:
            self.succeed("store", "set", "note", "--model", self.second)
        self.assertEqual(self.succeed("status", "--db", "note", "--json").json["stores"][0]["fresh"], 6)


    def test_written_by_hand_it_replaces_nothing_in_place(self):
        file = self.folder / "nearlite.toml"
        before = self.vectors(self.folder / "app.db.nearlite" / "note.sqlite")
        file.write_text(file.read_text().replace("[store.note]", f"[store.note]\nmodel = '{self.second}'"))
        self.assertIn("store set note --model", self.fail_with(2, "backfill", "--db", "note"))
        self.assertEqual(self.vectors(self.folder / "app.db.nearlite" / "note.sqlite"), before)
        self.assertEqual(self.succeed("status", "--db", "note", "--json").json["stores"][0]["stale_model"], 6)
        self.assertEqual(self.succeed("search", "--db", "note", "upload fails", "--json").json["hits"][0]["key"], 2)
        self.succeed("store", "set", "note", "--model", self.second)
        self.assertEqual((self.generation()["generation"], self.generation()["model"]), (2, str(self.second)))
        self.assertEqual(self.succeed("status", "--db", "note", "--json").json["stores"][0]["fresh"], 6)
        self.succeed("store", "set", "note", "--rollback")
        self.assertEqual(self.vectors(self.folder / "app.db.nearlite" / "note.sqlite"), before)

    def test_erase_removes_the_vectors_before_the_change_too(self):
        self.succeed("store", "set", "note", "--model", self.second)
        first = self.folder / "app.db.nearlite" / "note.sqlite"
        self.assertTrue(first.exists())
        self.fail_with(3, "erase", "--db", "note", "99")
        self.assertTrue(first.exists())
        self.assertIn("--rollback has nothing", self.succeed("erase", "--db", "note", "3").err)
        self.assertFalse(first.exists())
        self.assertTrue(self.succeed("check", "--db", "note", "--erased", "--json").json["ok"])
        self.assertIn("no model before", self.fail_with(3, "store", "set", "note", "--rollback"))
        status = self.succeed("status", "--db", "note", "--json").json["stores"][0]
        self.assertEqual((status["fresh"], status["erased"]), (5, 1))


class BrokenConfiguration(ProgramTest):
    def test_of_one_database_is_named_and_stops_no_other(self):
        self.make_notes("good.db")
        self.make_notes("bad.db")
        self.succeed("index", "good.db", "--yes", "--name", "good", "--table", "note")
        self.succeed("index", "bad.db", "--yes", "--name", "bad", "--table", "note")
        (self.folder / "bad.db.nearlite" / "nearlite.toml").write_text("[store.bad\n")
        done = self.run_program("backfill", "--all", "--json")
        self.assertEqual(done.code, 5)
        self.assertIn("nearlite.toml:1", done.err)
        results = {store["store"]: store for store in done.json}
        self.assertEqual(results["good"]["unchanged"], 6)
        self.assertIn("nearlite.toml:1", results["bad.db"]["error"]["message"])
        status = self.run_program("status", "--json")
        self.assertEqual(status.code, 5)
        self.assertEqual({store["store"]: store.get("fresh") for store in status.json["stores"]}, {"bad.db": None, "good": 6})
        found = self.run_program("search", "upload fails", "--json")
        self.assertEqual(found.json["hits"][0]["store"], "good")
        self.assertIn("broken", self.succeed("store", "list").out)


if __name__ == "__main__":
    unittest.main()
