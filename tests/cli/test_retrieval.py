"""Search modes, explanations, folding, similar rows and evaluation."""

import json
import sqlite3
import unittest
from random import Random

from program import NOTES, ProgramTest


class Retrieval(ProgramTest):
    def notes(self, rows=None):
        self.make_notes(rows=rows)
        self.succeed("index", "app.db", "--yes")

    def search(self, *arguments):
        return self.succeed("search", "app.db", *arguments, "--json").json

    def test_an_explanation_adds_up_to_the_score(self):
        self.notes()
        found = self.search("the disk is full", "--explain")
        for hit in found["hits"]:
            parts = hit["explain"]["parts"]
            self.assertAlmostEqual(sum(part["contribution"] for part in parts), hit["score"], places=6)
            self.assertTrue(hit["explain"]["found_by"])
        self.assertEqual(found["hits"][0]["explain"]["found_by"], ["exact", "keyword"])
        text = self.succeed("search", "app.db", "the disk is full", "-k", "1", "--explain").out
        self.assertRegex(text, r"similarity 0\.\d{4} x 0\.5000 \+ keyword")

    def test_error_codes_come_first_and_minus_leaves_out(self):
        self.notes(NOTES + [("Code", "E_DISK_17 is what the tool prints before it stops.")])
        self.assertEqual(self.search("disk full database E_DISK_17")["hits"][0]["key"], len(NOTES) + 1)
        self.assertNotIn(3, [hit["key"] for hit in self.search("disk full -transaction")["hits"]])

    def test_rows_that_say_the_same_are_folded(self):
        self.notes(NOTES + [NOTES[2], NOTES[2]])
        plain = self.search("disk full", "-k", "3")["hits"]
        self.assertEqual({hit["key"] for hit in plain}, {3, 7, 8})
        distinct = self.search("disk full", "-k", "3", "--distinct")
        self.assertEqual(distinct["hits"][0]["folded"], [7, 8])
        self.assertEqual(len(distinct["hits"]), 3)
        self.assertIn("nearly the same", distinct["left_out"][0])

    def test_similar_rows_without_the_row_itself(self):
        self.notes(NOTES + [("Full disk", "A full disk: the database cannot write any more.")])
        found = self.succeed("similar", "app.db", "3", "-k", "2", "--json").json
        self.assertEqual([hit["key"] for hit in found["hits"]][0], len(NOTES) + 1)
        self.assertNotIn(3, [hit["key"] for hit in found["hits"]])
        self.assertIn("key 99", self.fail_with(3, "similar", "app.db", "99"))
        self.fail_with(2, "similar", "app.db")

    def test_keys_and_questions_in_brackets_are_not_taken_apart(self):
        with sqlite3.connect(self.folder / "app.db") as db:
            db.execute("CREATE TABLE doc(shelf TEXT, place INTEGER, body TEXT, PRIMARY KEY(shelf, place)) WITHOUT ROWID")
            db.executemany("INSERT INTO doc VALUES('a', ?, ?)", enumerate(body for _, body in NOTES))
        self.succeed("index", "app.db", "--table", "doc:body")
        self.assertEqual(self.search("[disk, full]")["query"], "[disk, full]")
        found = self.succeed("similar", "app.db", '["a",2]', "--json").json
        self.assertNotIn(["a", 2], [hit["key"] for hit in found["hits"]])
        self.assertEqual(len(found["hits"]), len(NOTES) - 1)
        self.succeed("erase", "app.db", "--db", "doc", '["a",2]')
        self.assertNotIn(["a", 2], [hit["key"] for hit in self.search("disk full")["hits"]])

    def test_confidence_needs_a_store_of_some_size(self):
        rows = [(f"{title} {i}", body) for i in range(10) for title, body in NOTES]
        self.notes(rows)
        hits = self.search("the disk is full")["hits"]
        self.assertTrue(all(0 <= hit["confidence"] <= 1 and hit["confidence"] == hit["score"] for hit in hits))
        nothing = self.search("medieval church organs", "--min-confidence", "0.5")
        self.assertEqual((nothing["hits"], nothing["complete"]), ([], True))
        self.assertIn("below confidence 0.50", nothing["left_out"][0])

    def test_filters_on_kind_age_and_scope(self):
        self.notes()
        everything = len(self.search("the disk is full")["hits"])
        self.assertEqual(len(self.search("the disk is full", "--kind", "note", "--kind", "other")["hits"]), everything)
        none = self.search("the disk is full", "--kind", "other")
        self.assertEqual((none["hits"], none["complete"]), ([], True))
        for age in ("1h", "36500000d"):
            self.assertEqual(len(self.search("the disk is full", "--max-age", age)["hits"]), everything)
        self.assertEqual(len(self.search("the disk is full", "--scope", "local")["hits"]), everything)
        self.assertEqual(self.search("the disk is full", "--scope", "global")["hits"], [])
        for wrong in (["--max-age", "soon"], ["--max-age", "-5"], ["--max-age", "5w"], ["--max-age", ""], ["--scope", "mine"]):
            self.fail_with(2, "search", "app.db", "disk", *wrong)

    def test_rows_of_this_instance_and_of_the_others(self):
        with sqlite3.connect(self.folder / "app.db") as db:
            db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT, updated TEXT, source_menace_id TEXT)")
            db.executemany("INSERT INTO note VALUES(?, ?, ?, ?)", [
                (1, "the disk is full", "2020-01-01T00:00:00Z", "here"), (2, "the disk is nearly full", "2099-01-01T00:00:00Z", "there"),
                (3, "a disk that is full", "2020-01-01T00:00:00Z", None)])
        self.succeed("index", "app.db", "--table", "note:body")
        keys = lambda *more: sorted(hit["key"] for hit in self.search("disk full", *more)["hits"])
        self.assertEqual(keys("--scope", "local", "--instance", "here"), [1])
        self.assertEqual(keys("--scope", "global", "--instance", "here"), [2, 3])
        self.assertEqual(keys("--scope", "local"), [3])
        self.assertEqual(keys("--scope", "local", "--instance", "x' OR '1'='1"), [])
        self.assertEqual(keys("--scope", "global", "--instance", "here", "--where", "id = 2", "--store", "note", "--kind", "note"), [2])

    def test_odd_questions_are_never_an_error_of_sql(self):
        self.notes()
        pieces = ['"', "'", "-", "*", "(", ")", "^", ":", "+", "~", "NEAR(", "AND", "OR", "NOT", "disk", "{a b}", "\\", "--", ";", "%",
                  "title:", '"disk full', "-disk", '-"a b"', "\u0301", "\U0001f600", "E_1", "中文", "x" * 300, "[", "]", "?1", "\t", "\n", "a-b"]
        random = Random(7)
        for _ in range(15):
            question = random.choice(["", " "]).join(random.choice(pieces) for _ in range(random.randint(1, 6)))
            run = self.run_program("search", "app.db", "--json", "--mode", random.choice(["keyword", "hybrid"]), "--", question)
            self.assertIn(run.code, (0, 2), (question, run.err))
            self.assertNotRegex(run.err + run.out, "fts5|syntax error|no such column")

    def test_evaluation(self):
        self.notes()
        (self.folder / "q.tsv").write_text("a\tdisk full\nb\tsoup with tomatoes\nc\tnever judged\n")
        (self.folder / "q.trec").write_text("a 0 3 1\nb 0 4 2\nb 0 3 0\n")
        files = ["--queries", "q.tsv", "--qrels", "q.trec"]
        report = self.succeed("eval", "app.db", *files, "--run", "run.trec", "--json").json
        self.assertEqual(report["queries"], 2)
        for mode in ("vector", "keyword", "hybrid"):
            self.assertEqual(report[mode], {"ndcg@10": 1.0, "recall@100": 1.0, "mrr@10": 1.0})
        self.assertEqual(report["index_recall@10"], 1.0)
        self.assertEqual([one["query"] for one in report["per_query"]], ["a", "b"])
        self.assertEqual((self.folder / "run.trec").read_text().split()[:4], ["a", "Q0", "3", "1"])
        self.assertIn("hybrid", self.succeed("eval", "app.db", *files).out)
        (self.folder / "bad.trec").write_text("a 0 6 1\n")
        below = ["--fail-below", "ndcg@10=0.9"]
        failed = self.run_program("eval", "app.db", "--queries", "q.tsv", "--qrels", "bad.trec", *below)
        self.assertEqual(failed.code, 5)
        self.assertIn("below 0.9", failed.err)
        self.succeed("eval", "app.db", *files, *below, "--fail-below", "vector.mrr@10=1")
        self.fail_with(2, "eval", "app.db", *files, "--fail-below", "speed=1")
        self.fail_with(3, "eval", "app.db", "--queries", "none.tsv", "--qrels", "q.trec")
        self.fail_with(2, "eval", "app.db", "--queries", "q.tsv")

    def test_golden_questions_of_a_project_fail_a_build(self):
        self.notes()
        self.assertIn("golden.tsv", self.fail_with(2, "eval", "app.db"))
        (self.folder / "golden.tsv").write_text("# ours\ndisk full\t3\nsoup with tomatoes\t4\n")
        self.succeed("eval", "app.db", "--fail-below", "ndcg@10=1")
        (self.folder / "ci.tsv").write_text("disk full\t6\n")
        self.assertEqual(self.run_program("eval", "app.db", "--golden", "ci.tsv", "--fail-below", "mrr@10=0.9").code, 5)

    def test_evaluation_of_confidences_over_several_stores(self):
        rows = [(f"{title} {i}", body) for i in range(10) for title, body in NOTES]
        self.make_notes("a.db", rows=rows)
        self.make_notes("b.db")
        self.succeed("index", "a.db", "--table", "note:title,body", "--name", "many", "--yes")
        self.succeed("index", "b.db", "--table", "note:title,body", "--name", "few", "--yes")
        (self.folder / "q.tsv").write_text("a\tthe disk is full\n")
        (self.folder / "q.trec").write_text("a 0 few/3 1\n" + "".join(f"a 0 many/{3 + 6 * i} 1\n" for i in range(10)))
        (self.folder / "none.tsv").write_text("n\tmedieval church organs\n")
        report = self.succeed("eval", "a.db", "b.db", "--queries", "q.tsv", "--qrels", "q.trec", "--unanswerable", "none.tsv",
                              "--plot", "plot.svg", "--hits", "hits.jsonl", "--json").json
        self.assertEqual(report["hybrid"]["ndcg@10"], 1)
        self.assertEqual(report["unanswerable"], {"queries": 1, "claimed": 0})
        calibration = report["calibration"]
        self.assertEqual(sum(one["hits"] for one in calibration["bins"]), calibration["hits"])
        self.assertTrue((self.folder / "plot.svg").read_text().startswith("<svg "))
        hits = [json.loads(line) for line in (self.folder / "hits.jsonl").read_text().splitlines()]
        self.assertEqual({hit["query"] for hit in hits}, {"a", "unanswerable:medieval church organs"})
        self.assertTrue(all(hit["relevant"] for hit in hits if hit["query"] == "a"))
        files = ["--queries", "q.tsv", "--qrels", "q.trec", "--plot", "two.svg", "--beside"]
        self.succeed("eval", "a.db", "b.db", *files, "hits.jsonl")
        self.assertIn(f">hits: error {calibration['error']:.3f}, ", (self.folder / "two.svg").read_text())
        self.fail_with(2, "eval", "a.db", "b.db", *files, "q.trec")


if __name__ == "__main__":
    unittest.main()
