"""governance: what is kept out of the vectors, and what the program says about it."""

import json
import random
import string
import unittest

from program import NOTES, ProgramTest

AWS = "AKIA" + "IOSFODNN7EXAMPLE"
RISK = "run eval(data) on it"


class Governance(ProgramTest):
    def make_store(self, rows, *options):
        self.make_notes(rows=rows)
        self.succeed("store", "add", "notes", "--database", "app.db", "--table", "note", "--text", "title,body", *options)

    def test_check_says_what_and_where(self):
        lines = f"a plain line\nkey {AWS} here\nplease load the data\ngplot\nbob@example.com\n{RISK}\nunder the GPLv3\n"
        found = self.succeed("governance", "check", "-", "--json", stdin=lines).lines
        self.assertEqual([line["decision"] for line in found],
                         ["allow", "redact", "allow", "allow", "redact", "quarantine", "block"])
        self.assertEqual(found[1]["findings"],
                         [{"rule": "aws-access-key", "kind": "secret", "start": 4, "end": 24, "action": "redact"}])
        self.assertIn("2: redact: aws-access-key at 4-24", self.succeed("governance", "check", stdin=lines).out)

    def test_check_at_the_level_of_a_users_table(self):
        found = self.succeed("governance", "check", "--level", "secrets", "--jsonl", stdin="bob@example.com\n").lines
        self.assertEqual((found[0]["decision"], found[0]["findings"][0]["action"]), ("allow", "allow"))

    def test_a_users_table_gets_its_secrets_redacted_and_the_rest_reported(self):
        self.make_store(NOTES + [("key", f"the key is {AWS}."), ("mail", "write to bob@example.com"), ("risk", RISK)])
        run = self.succeed("backfill", "--db", "notes", "--json").json[0]
        self.assertEqual((run["embedded"], run["blocked"]), (9, 0))
        hit = self.succeed("search", "--db", "notes", "which key is it", "-k", "9", "--json", "--fields", "title").json
        snippets = {hit["fields"]["title"]: hit["snippet"] for hit in hit["hits"]}
        self.assertIn("[REDACTED]", snippets["key"])
        self.assertIn("bob@example.com", snippets["mail"])
        scan = self.succeed("governance", "scan", "--db", "notes", "--json").json["stores"][0]
        self.assertEqual((scan["level"], scan["rows"], scan["allow"], scan["redact"]), ("secrets", 9, 8, 1))
        self.assertEqual({rule["rule"] for rule in scan["rules"]}, {"aws-access-key", "mail-address", "eval-use"})
        self.assertNotIn(AWS, json.dumps(scan))

    def test_at_full_level_rows_are_blocked_quarantined_and_released(self):
        self.make_store(NOTES + [("risk", RISK), ("licence", "under the GNU General Public License")], "--governance", "full")
        run = self.succeed("backfill", "--db", "notes", "--json").json[0]
        self.assertEqual((run["embedded"], run["blocked"], run["skipped_records"]), (6, 2, []))
        self.assertEqual([record["key"] for record in run["blocked_records"]], [7, 8])
        self.assertRegex(run["blocked_records"][0]["reason"], r"^eval-use at \d+-\d+$")
        status = self.succeed("status", "--db", "notes", "--json").json["stores"][0]
        self.assertEqual((status["fresh"], status["blocked"], status["missing"]), (6, 2, 0))
        self.assertIn("quarantine", self.succeed("governance", "scan", "--db", "notes").out)
        self.assertIn("block", self.fail_with(2, "governance", "release", "--db", "notes", "8"))
        self.assertEqual(self.succeed("governance", "release", "--db", "notes", "7", "--json").json["key"], 7)
        self.assertEqual(self.succeed("status", "--db", "notes", "--json").json["stores"][0]["missing"], 1)
        run = self.succeed("backfill", "--db", "notes", "--json").json[0]
        self.assertEqual((run["embedded"], run["blocked"]), (1, 1))
        # Released is this text, not whatever the row will hold.
        self.execute(self.folder / "app.db", "UPDATE note SET body = 'then eval(more) of it' WHERE id = 7")
        self.assertEqual(self.succeed("backfill", "--db", "notes", "--json").json[0]["blocked"], 2)
        self.fail_with(3, "governance", "release", "--db", "notes", "99")
        self.fail_with(2, "governance", "release", "--db", "notes", "1")

    def test_of_a_thousand_secrets_no_byte_is_stored_or_logged(self):
        choose = random.Random(11)
        hexes, letters = "0123456789abcdef", string.ascii_letters + string.digits
        of = lambda alphabet, count: "".join(choose.choice(alphabet) for _ in range(count))
        forms = [lambda: "AKI" + "A" + of(string.ascii_uppercase + string.digits, 16), lambda: "gh" + "p_" + of(letters, 36),
                 lambda: "sk_" + "live_" + of(letters, 24), lambda: "xo" + "xb-" + of(string.digits, 12) + "-" + of(letters, 24),
                 lambda: "np" + "m_" + of(letters, 36), lambda: "do" + "p_v1_" + of(hexes, 64), lambda: "AI" + "za" + of(letters, 35),
                 lambda: "SG." + of(letters, 22) + "." + of(letters, 43), lambda: "gl" + "pat-" + of(letters, 20),
                 lambda: f"{of(string.ascii_lowercase, 12)}@{of(string.ascii_lowercase, 9)}.example"]
        secrets = [forms[i % len(forms)]() for i in range(1000)]
        rows = [(f"Note {i}", f"the value {secret} was used on day {i}") for i, secret in enumerate(secrets)]
        self.make_store(rows, "--governance", "full", "--backend", "annoy")
        words = []
        for command in [("backfill", "--db", "notes", "--json", "--log-level", "debug"),
                        ("search", "--db", "notes", "which value", "-k", "50", "--json", "--fields", "title", "--log-level", "debug"),
                        ("governance", "scan", "--db", "notes", "--json"), ("stats", "--db", "notes", "--json"), ("status", "--json")]:
            result = self.succeed(*command)
            if command[0] == "search":  # its fields are those of the user's own rows; the snippets are ours
                self.assertEqual(len(result.json["hits"]), 50)
                result.out = "\n".join(hit["snippet"] for hit in result.json["hits"])
            words.append(result.out + result.err)
        self.assertEqual(json.loads(words[0].splitlines()[0])[0]["embedded"], 1000)
        files = [file for file in self.folder.rglob("*") if file.is_file() and file.name != "app.db"]
        self.assertTrue({".index", ".json", ".sqlite", ".vecs", ".db"} <= {file.suffix for file in files}, files)
        data = b"\0".join(file.read_bytes() for file in files) + "\0".join(words).encode()
        found = [secret for secret in secrets if secret.encode() in data]
        self.assertEqual(found, [])
        self.assertIn(b"[REDACTED] was used on day 17", data)

    def test_other_rules_make_only_the_affected_rows_stale(self):
        self.make_store(NOTES)
        self.succeed("backfill", "--db", "notes")
        (self.folder / "governance.toml").write_text(
            "[[rule]]\nname = 'printers'\nkind = 'secret'\npattern = 'blinks red'\n")
        status = self.succeed("status", "--db", "notes", "--json").json["stores"][0]
        self.assertEqual((status["fresh"], status["stale_model"]), (5, 1))
        run = self.succeed("backfill", "--db", "notes", "--json").json[0]
        self.assertEqual((run["embedded"], run["unchanged"]), (1, 5))
        self.assertEqual(self.succeed("status", "--db", "notes", "--json").json["stores"][0]["fresh"], 6)

    def test_a_broken_file_is_refused_by_line(self):
        self.make_store(NOTES)
        file = self.folder / "governance.toml"
        file.write_text("[[rule]]\nname = 'mine'\nkind = 'secret'\npattern = 'a(b'\n")
        for command in [("backfill", "--db", "notes"), ("governance", "scan", "--db", "notes"), ("governance", "rules")]:
            message = self.fail_with(2, *command)
            self.assertIn("governance.toml:4:", message)
            self.assertIn("mine", message)

    def test_rules_are_listed(self):
        rules = self.succeed("governance", "rules", "--json").json
        self.assertIsNone(rules["file"])
        self.assertGreater(len(rules["rules"]), 60)
        self.assertEqual({rule["kind"] for rule in rules["rules"]}, {"licence", "secret", "personal", "risk"})
        self.assertIn("aws-access-key", self.succeed("governance", "rules").out)

    def test_arguments(self):
        self.fail_with(2, "governance")
        self.fail_with(2, "governance", "check", "--level", "some")
        self.fail_with(3, "governance", "check", "missing.txt")
        self.fail_with(2, "governance", "release")


if __name__ == "__main__":
    unittest.main()
