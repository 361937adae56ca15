"""Wrong options, names and descriptors: one clear line, the right exit code, nothing touched."""

import os
import subprocess
import unittest

from program import BINARY, ProgramTest


class Arguments(ProgramTest):
    def test_version_and_help(self):
        self.assertRegex(self.succeed("--version").out, r"^nearlite \d+\.\d+\.\d+\n$")
        for command in ["index", "search", "backfill", "status", "stats", "store", "check", "embed", "model"]:
            text = self.succeed(command, "--help").out
            self.assertIn("nearlite " + command, text)
            self.assertIn("Examples:", text)
            self.assertEqual(text, self.succeed("help", command).out)

    def test_no_command(self):
        self.assertIn("no command given", self.fail_with(2))

    def test_unknown_commands_get_the_nearest_name(self):
        self.assertIn("did you mean search?", self.fail_with(2, "serch", "x"))
        self.assertIn("did you mean create?", self.fail_with(2, "store", "creat", "bot"))
        for other in ["frobnicate", "vacuum"]:
            self.assertIn("unknown command", self.fail_with(2, other))

    def test_unknown_options_get_the_nearest_name(self):
        self.assertIn("unknown option --bd; did you mean --db?", self.fail_with(2, "backfill", "--bd", "bot"))
        self.assertIn("did you mean --data-dir?", self.fail_with(2, "status", "--data-dri", "."))
        self.assertIn("did you mean --backend?", self.fail_with(2, "backfill", "--all", "--backed=annoy"))

    def test_db_without_value(self):
        self.assertIn("--db", self.fail_with(2, "backfill", "--db"))

    def test_unknown_stores_get_the_nearest_name_and_the_list(self):
        message = self.fail_with(3, "backfill", "--db", "bott")
        self.assertIn("bot", message)
        self.assertIn("workflow", message)

    def test_backfill_needs_stores(self):
        self.assertIn("specify --db or --all", self.fail_with(2, "backfill"))

    def test_db_and_all_exclude_each_other(self):
        self.assertIn("drop", self.fail_with(2, "backfill", "--db", "bot", "--all"))

    def test_all_without_any_store_names_the_folder(self):
        self.assertIn(str(self.folder), self.fail_with(3, "backfill", "--all"))

    def test_names_are_no_paths(self):
        message = self.fail_with(2, "backfill", "--db", "../../etc/nosuch")
        self.assertIn("../../etc/nosuch", message)

    def test_control_characters_in_names_are_shown_escaped(self):
        message = self.fail_with(2, "backfill", "--db", "bot\nx")
        self.assertIn("bot\\nx", message)
        message = self.fail_with(2, "backfill", "--db", "bot\x1b[31m")
        self.assertNotIn("\x1b", message)

    def test_names_that_are_not_utf8(self):
        self.assertIn("\\xff", self.fail_with(2, "backfill", "--db", b"bot\xff"))

    def test_closed_lists(self):
        self.assertIn("auto, annoy, faiss, flat, graph", self.fail_with(2, "backfill", "--db", "bot", "--backend", "anoy"))
        self.assertIn("fp32", self.fail_with(2, "embed", "--precision", "int3"))
        self.assertIn("jsonl, npy, f32", self.fail_with(2, "embed", "--format", "csv"))
        self.assertIn("keyword", self.fail_with(2, "search", "--mode", "telepathy", "x"))
        self.assertIn("debug, info, warning", self.fail_with(2, "status", "--log-level", "loud"))

    def test_numbers_are_read_whole(self):
        for text in ["0", "-5", "1e9", "99999999999999999999", "20abc", " 20", "0x14", "", "+5", "10001"]:
            message = self.fail_with(2, "backfill", "--db", "bot", "--batch-size", text)
            self.assertIn("1 to 10000", message)
        for text in ["0", "-1", "2.5", "ten"]:
            self.assertIn("1 to 10000", self.fail_with(2, "search", "x", "-k", text))
        for text in ["1.5", "-0.1", "nan", "inf", "half"]:
            self.fail_with(2, "search", "x", "--recall", text)

    def test_config_file(self):
        self.assertIn("No such file", self.fail_with(2, "status", "--config", "missing.toml"))
        self.assertIn("not a regular file", self.fail_with(2, "status", "--config", "/dev/zero"))
        self.assertIn("not a regular file", self.fail_with(2, "status", "--config", self.folder))
        os.mkfifo(self.folder / "fifo.toml")
        self.assertIn("not a regular file", self.fail_with(2, "status", "--config", "fifo.toml", timeout=10))
        (self.folder / "bad.toml").write_text("[store.x]\ntabel = 'y'\n")
        message = self.fail_with(2, "status", "--config", "bad.toml")
        self.assertIn("bad.toml", message)
        self.assertIn("2", message)

    def test_data_dir(self):
        self.assertIn("nowhere", self.fail_with(3, "status", "--data-dir", "nowhere"))
        self.assertIn("nowhere", self.fail_with(3, "status", env={"NEARLITE_DATA_DIR": "nowhere"}))

    def test_global_options_stand_before_or_after_the_command(self):
        before = self.succeed("--json", "store", "list").json
        self.assertEqual(before, self.succeed("store", "list", "--json").json)
        self.assertEqual(before, self.succeed("store", "--json", "list").json)

    def test_json_and_jsonl_exclude_each_other(self):
        self.fail_with(2, "store", "list", "--json", "--jsonl")

    def test_errors_are_json_on_stdout_when_json_is_asked_for(self):
        result = self.run_program("backfill", "--db", "nosuch", "--json")
        self.assertEqual(result.code, 3)
        self.assertEqual(result.json["error"]["type"], "NotFound")
        self.assertIn("nosuch", result.json["error"]["message"])
        self.assertIn("nosuch", result.err)
        result = self.run_program("backfill", "--bd", "--json")
        self.assertEqual(result.json["error"]["hint"], "did you mean --db?")
        result = self.run_program("backfill", "--batch-size", "0", "--jsonl")
        self.assertEqual(result.json["error"]["type"], "InvalidArgument")

    def test_very_large_arguments(self):
        self.fail_with(2, "search", "x" * 130_000, "--db", "bot", "--bd", timeout=5)
        self.fail_with(2, "backfill", *["--db", "bot"] * 10_000, timeout=5)

    def test_questions(self):
        self.assertIn("no question given", self.fail_with(2, "search"))
        self.make_notes()
        self.assertIn("no question given", self.fail_with(2, "search", "app.db"))
        self.assertIn("nosuch.db", self.fail_with(3, "search", "nosuch.db", "question"))

    def test_a_command_name_is_a_question_like_any_other(self):
        # Reaches the search (no store in this folder), not the command.
        self.assertIn("no store", self.fail_with(3, "search", "status"))
        self.assertIn("no store", self.fail_with(3, "search", "--", "--weird question"))

    def test_a_full_disk_behind_stdout(self):
        with open("/dev/full", "wb") as full:
            process = subprocess.run([BINARY, "store", "list"], cwd=self.folder, stdout=full, stderr=subprocess.PIPE,
                                     env=self.environment(), check=False)
        self.assertEqual(process.returncode, 4)
        self.assertIn(b"standard output", process.stderr)

    def test_a_closed_pipe_is_no_noise(self):
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run([BINARY, "store", "list"], cwd=self.folder, stdout=write, stderr=subprocess.PIPE,
                                 env=self.environment(), check=False)
        os.close(write)
        self.assertEqual(process.stderr, b"")
        self.assertEqual(process.returncode, 141)

    def test_closed_standard_descriptors(self):
        for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]:
            process = subprocess.run(["sh", "-c", f"exec {BINARY} store create bot {closed}"], cwd=self.folder,
                                     env=self.environment(), capture_output=True, check=False)
            self.assertEqual(process.returncode, 0, closed)
        with open(self.folder / "bots.db", "rb") as file:
            self.assertEqual(file.read(16), b"SQLite format 3\0")


if __name__ == "__main__":
    unittest.main()
