"""Search modes, explanations, folding, similar rows and evaluation."""

import unittest

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

    def test_confidence_needs_a_store_of_some_size(self):
        rows = [(f"{title} {i}", body) for i in range(10) for title, body in NOTES]
        self.notes(rows)
        hits = self.search("the disk is full")["hits"]
        self.assertTrue(all(0 <= hit["confidence"] <= 1 and hit["confidence"] == hit["score"] for hit in hits))
        nothing = self.search("medieval church organs", "--min-confidence", "0.5")
        self.assertEqual((nothing["hits"], nothing["complete"]), ([], True))
        self.assertIn("below confidence 0.50", nothing["left_out"][0])

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


if __name__ == "__main__":
    unittest.main()
