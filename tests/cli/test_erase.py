"""erase and check: what is deleted is gone from every byte, and every damage is found by its name."""

import json
import pathlib
import sqlite3
import unittest

from program import NOTES, ProgramTest

PERSON = "Mr Vandersnoot moved to Umbragewick in the seventh spring, password=Gr4peFruit77"


class Erase(ProgramTest):
    def setUp(self):
        super().setUp()
        self.make_notes(rows=NOTES + [("moved", PERSON)])
        self.succeed("store", "add", "notes", "--database", "app.db", "--table", "note", "--text", "title,body", "--backend", "annoy")
        self.succeed("backfill", "--db", "notes")
        self.truth = next(self.folder.rglob("notes.sqlite"))

    def files_with(self, data):
        return [file.name for file in self.folder.rglob("*")
                if file.is_file() and file.name != "app.db" and data in file.read_bytes()]

    def test_no_byte_is_left_and_a_receipt_is_given(self):
        vector = self.execute(self.truth, "SELECT vector FROM vector JOIN record ON record.id = vector.record WHERE record_key = '7'")[0][0]
        self.assertTrue(self.files_with(vector))
        self.assertTrue(self.files_with(b"Umbragewick"))
        result = self.succeed("erase", "--db", "notes", "7", "--json").json
        self.assertEqual((result["store"], result["erased"][0]["key"], result["erased"][0]["vectors"]), ("notes", 7, 1))
        self.assertGreater(result["erased"][0]["windows"], 0)
        self.assertEqual(self.files_with(vector), [])
        self.assertEqual(self.files_with(b"Umbragewick"), [])
        self.assertEqual(self.files_with(b"Gr4peFruit77"), [])
        self.assertTrue(self.succeed("check", "--db", "notes", "--erased", "--json").json["ok"])
        self.assertTrue(self.succeed("check", "--db", "notes", "--full", "--json").json["ok"])
        status = self.succeed("status", "--db", "notes", "--json").json["stores"][0]
        self.assertEqual((status["rows"], status["fresh"], status["blocked"], status["erased"]), (7, 6, 1, 1))
        self.assertEqual(self.succeed("backfill", "--db", "notes", "--json").json[0]["blocked"], 1)
        hits = self.succeed("search", "--db", "notes", "who moved in spring", "-k", "7", "--json").json["hits"]
        self.assertNotIn(7, [hit["key"] for hit in hits])

    def test_forget_lets_it_be_embedded_again(self):
        self.succeed("erase", "--db", "notes", "7")
        self.fail_with(3, "erase", "--db", "notes", "--forget", "6")
        self.assertIn("may be embedded again", self.succeed("erase", "--db", "notes", "--forget", "7").out)
        self.assertEqual(self.succeed("backfill", "--db", "notes", "--json").json[0]["embedded"], 1)

    def test_a_reader_that_prevents_it_is_exit_4(self):
        reader = sqlite3.connect(self.truth)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM record").fetchone()
        self.assertIn("reads", self.fail_with(4, "erase", "--db", "notes", "7"))
        reader.close()
        self.succeed("erase", "--db", "notes", "7")
        self.assertEqual(self.files_with(b"Umbragewick"), [])

    def test_what_comes_back_is_found(self):
        old = self.truth.read_bytes()
        self.succeed("erase", "--db", "notes", "7")
        (self.truth.parent / "notes.sqlite.backup").write_bytes(old)
        result = self.run_program("check", "--db", "notes", "--erased", "--json")
        self.assertEqual(result.code, 3)
        self.assertEqual({finding["code"] for finding in result.json["findings"]}, {"erased-bytes"})

    def test_arguments(self):
        self.fail_with(2, "erase", "--db", "notes")
        self.fail_with(3, "erase", "--db", "notes", "99")
        self.fail_with(3, "erase", "--db", "nots", "7")
        self.fail_with(2, "check", "--erased", "--repair")


class Check(ProgramTest):
    """Every damage by its name: docs/guides/check.md."""

    def setUp(self):
        super().setUp()
        self.make_notes()
        self.succeed("store", "add", "notes", "--database", "app.db", "--table", "note", "--text", "title,body", "--backend", "annoy")
        self.succeed("backfill", "--db", "notes")
        self.truth = next(self.folder.rglob("notes.sqlite"))
        self.side = self.truth.parent
        self.segment = next((self.side / "notes.vec").glob("seg-*"))

    def codes(self, *options, code=3):
        result = self.run_program("check", "--db", "notes", "--json", *options)
        self.assertEqual(result.code, code, result.err + result.out)
        self.assertEqual(result.json["ok"], code == 0)
        return {finding["code"] for finding in result.json["findings"]}

    def flip(self, file, at):
        data = bytearray(file.read_bytes())
        data[at] ^= 0x10
        file.write_bytes(data)

    def repaired(self):
        self.run_program("check", "--db", "notes", "--repair")
        self.assertEqual(self.codes(code=0), set())

    def test_a_sound_store(self):
        self.assertEqual(self.codes(code=0), set())
        self.assertEqual(self.codes("--full", code=0), set())

    def test_a_segment_missing_cut_or_flipped(self):
        data = self.segment.read_bytes()
        self.flip(self.segment, len(data) // 2)
        self.assertEqual(self.codes(), {"segment-damaged"})
        self.repaired()
        segment = next((self.side / "notes.vec").glob("seg-*"))
        segment.write_bytes(segment.read_bytes()[:-100])
        self.assertEqual(self.codes(), {"segment-damaged"})
        self.repaired()
        next((self.side / "notes.vec").glob("seg-*")).unlink()
        self.assertEqual(self.codes(), {"segment-missing"})
        self.repaired()

    def test_index_and_json(self):
        self.flip(self.side / "notes.index", 40)
        (self.side / "notes.json").write_text("{}")
        self.assertEqual(self.codes(), {"index-digest", "metadata-digest"})
        self.repaired()
        (self.side / "notes.index").unlink()
        (self.side / "notes.json").unlink()
        self.assertEqual(self.codes(), {"index-missing", "metadata-missing"})
        self.repaired()

    def test_a_vector_that_is_not_what_was_stored(self):
        self.execute(self.truth, "UPDATE vector SET vector = zeroblob(length(vector)) WHERE slot = 2")
        self.assertIn("vector-checksum", self.codes())
        self.run_program("check", "--db", "notes", "--repair")
        self.assertEqual(self.succeed("backfill", "--db", "notes", "--json").json[0]["embedded"], 1)
        self.assertEqual(self.codes(code=0), set())

    def test_records_without_vectors_and_without_model(self):
        self.execute(self.truth, "DELETE FROM vector WHERE slot = 3")
        self.assertIn("sidecar-links", self.codes())
        self.execute(self.truth, "UPDATE fact SET value = '77' WHERE name = 'model'")
        self.assertIn("model-unknown", self.codes())

    def test_a_segment_of_another_model(self):
        self.execute(self.truth, "UPDATE manifest SET model_identity = 'another' WHERE kind = 'segment'")
        self.assertIn("segment-model", self.codes())
        self.repaired()

    def test_foreign_files(self):
        (self.side / "notes.vec" / "holiday.jpg").write_bytes(b"not ours")
        self.assertEqual(self.codes(), {"foreign-file"})
        self.repaired()

    def test_orphan_keys(self):
        self.execute(self.folder / "app.db", "DELETE FROM note WHERE id = 2")
        self.assertEqual(self.codes(code=0), set())
        self.assertEqual(self.codes("--full"), {"orphan-keys"})
        self.succeed("backfill", "--db", "notes")
        self.assertEqual(self.codes("--full", code=0), set())

    def test_a_sidecar_that_is_no_database(self):
        data = bytearray(self.truth.read_bytes())
        for at in range(4096, len(data)):
            data[at] = 0x5A  # every page but the first
        self.truth.write_bytes(data)
        self.assertTrue(self.codes() <= {"sidecar-damaged", "unreadable"})
        self.truth.write_bytes(b"this is a letter to my aunt")
        self.assertTrue(self.codes() <= {"sidecar-damaged", "unreadable"})


if __name__ == "__main__":
    unittest.main()
