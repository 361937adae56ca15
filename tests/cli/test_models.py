"""embed and model, and what happens without a model."""

import array
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import unittest

from program import BINARY, ProgramTest

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class Embed(ProgramTest):
    def test_one_vector_per_line_in_order(self):
        both = self.succeed("embed", stdin="upload failed\ntomato soup\n").lines
        self.assertEqual([len(vector) for vector in both], [384, 384])
        self.assertAlmostEqual(math.hypot(*both[0]), 1, places=5)
        self.assertEqual(self.succeed("embed", stdin="tomato soup").lines, both[1:])

    def test_empty_lines_are_texts_and_no_line_is_none(self):
        self.assertEqual(len(self.succeed("embed", stdin="a\n\nb\n").lines), 3)
        self.assertEqual(self.succeed("embed", stdin="").out, "")

    def test_json_lines(self):
        plain = self.succeed("embed", stdin="one\ntwo\n").out
        lines = '{"text": "one", "id": 7}\n{"text": "two"}\n'
        self.assertEqual(self.succeed("embed", stdin=lines).out, plain)
        self.assertIn("line 2", self.fail_with(2, "embed", stdin='{"text": "one"}\nplain\n'))

    def test_a_line_that_is_not_utf8(self):
        self.assertIn("line 2", self.fail_with(2, "embed", stdin=b"good\nb\xffd\n"))

    def test_formats(self):
        (self.folder / "texts.txt").write_text("one\ntwo\nthree")
        expected = [value for line in self.succeed("embed", "texts.txt").lines for value in line]
        self.succeed("embed", "texts.txt", "--format", "f32", "--out", "vectors.f32")
        raw = array.array("f", (self.folder / "vectors.f32").read_bytes())
        self.assertEqual(raw, array.array("f", expected))
        self.succeed("embed", "texts.txt", "--format", "npy", "--out", "vectors.npy")
        npy = (self.folder / "vectors.npy").read_bytes()
        self.assertEqual(npy[:8], b"\x93NUMPY\x01\x00")
        self.assertIn(b"'descr': '<f4', 'fortran_order': False, 'shape': (3, 384)", npy[:128])
        self.assertEqual(array.array("f", npy[128:]), raw)
        process = self.start("embed", "texts.txt", "--format", "npy")
        self.assertEqual(process.communicate(timeout=60)[0], npy)

    def test_dimensions_and_prompts(self):
        short = self.succeed("embed", "--dimensions", "64", stdin="upload failed\n").lines[0]
        self.assertEqual(len(short), 64)
        self.assertAlmostEqual(math.hypot(*short), 1, places=5)
        self.assertIn("384", self.fail_with(2, "embed", "--dimensions", "385", stdin="x\n"))
        self.fail_with(2, "embed", "--dimensions", "0", stdin="x\n")
        self.fail_with(3, "embed", "--prompt-name", "nosuch", stdin="x\n")

    def test_long_texts_are_cut_and_counted(self):
        self.assertIn("1 of 2 texts", self.succeed("embed", stdin="word " * 1000 + "\nshort\n").err)

    def test_a_failed_run_leaves_no_file(self):
        (self.folder / "out.npy").write_text("before")
        self.fail_with(2, "embed", "--format", "npy", "--out", "out.npy", stdin=b"a\n\xff\n")
        self.assertEqual((self.folder / "out.npy").read_text(), "before")
        self.assertEqual([file.name for file in self.folder.iterdir()], ["out.npy"])
        self.fail_with(3, "embed", "nosuch.txt")
        self.fail_with(2, "embed", self.folder)


class Models(ProgramTest):
    def test_info_and_path(self):
        info = self.succeed("model", "info", "--json").json
        self.assertEqual((info["dimensions"], info["max_tokens"], info["architecture"], info["normalized"]), (384, 256, "bert", True))
        folder = self.succeed("model", "path").out.strip()
        self.assertTrue((pathlib.Path(folder) / "modules.json").exists())
        self.assertIn("256", self.succeed("model", "info", folder).out)

    def test_info_names_languages_and_parts_of_the_tokenizer(self):
        info = self.succeed("model", "info", "--json").json
        self.assertEqual(info["languages"], ["en"])
        self.assertEqual(info["tokenizer"], {"model": "WordPiece", "normalizers": ["BertNormalizer"], "pre_tokenizers": ["BertPreTokenizer"],
                                             "post_processors": ["TemplateProcessing"]})  # fmt: skip

    def test_info_warns_when_the_texts_are_in_another_language(self):
        (self.folder / "chinese.txt").write_text("无法连接到数据库\n机器学习模型可以把文本转换成向量\n")
        (self.folder / "english.txt").write_text("cannot connect to the database\n")
        result = self.succeed("model", "info", "--texts", "chinese.txt", "--json")
        self.assertIn("multilingual", result.json["language_warning"])
        self.assertIn("does not fit these texts", result.err)
        self.assertIsNone(self.succeed("model", "info", "--texts", "english.txt", "--json").json["language_warning"])

    def test_index_warns_when_the_rows_are_in_another_language(self):
        chinese = self.make_notes("chinese.db", rows=[("无法连接到数据库", "请稍后重试,机器学习模型可以把文本转换成向量")] * 6)
        self.assertIn("does not fit these texts", self.succeed("index", chinese, "--dry-run").err)
        self.assertNotIn("does not fit", self.succeed("index", self.make_notes("english.db"), "--dry-run").err)

    def test_every_family_embeds_in_every_precision(self):
        families = pathlib.Path(__file__).resolve().parents[2] / "src" / "encoder" / "testdata" / "families"
        for family, architecture in [("roberta", "roberta"), ("xlm_roberta", "xlm-roberta"), ("camembert", "camembert"), ("mpnet", "mpnet"),
                                     ("distilbert", "distilbert"), ("static", "static"), ("bert", "bert")]:
            folder = families / family
            self.assertEqual(self.succeed("model", "info", folder, "--json").json["architecture"], architecture)
            for precision in ["fp32", "bf16", "int8"]:
                lines = self.succeed("embed", "--model", folder, "--precision", precision, stdin="hello world\n").lines
                self.assertGreaterEqual(len(lines[0]), 16)

    def test_prompts_and_dimensions(self):
        folder = pathlib.Path(__file__).resolve().parents[2] / "src" / "encoder" / "testdata" / "families" / "xlm_roberta"
        plain, prompted, written = [
            self.succeed("embed", "--model", folder, *options, stdin=text).lines[0]
            for options, text in [((), "hello\n"), (("--prompt-name", "query"), "hello\n"), ((), "query: hello\n")]]  # fmt: skip
        self.assertNotEqual(plain, prompted)
        self.assertEqual(prompted, written)
        short = self.succeed("embed", "--model", folder, "--dimensions", "8", stdin="hello\n").lines[0]
        length = sum(x * x for x in plain[:8]) ** 0.5
        self.assertEqual(len(short), 8)
        for ours, expected in zip(short, plain):
            self.assertAlmostEqual(ours, expected / length, places=6)
        self.assertIn("passage, query", self.fail_with(3, "embed", "--model", folder, "--prompt-name", "nosuch", stdin="x\n"))

    def test_what_is_not_known_is_refused_by_its_name(self):
        families = pathlib.Path(__file__).resolve().parents[2] / "src" / "encoder" / "testdata" / "families"
        for family, file, old, new in [("mpnet", "config.json", '"mpnet"', '"xlnet"'), ("distilbert", "config.json", '"gelu"', '"mish"'),
                                       ("bert", "modules.json", "LayerNorm", "WordWeights"), ("roberta", "tokenizer.json", "ByteLevel", "Unheard")]:
            copy = self.folder / family
            shutil.copytree(families / family, copy)
            content = (copy / file).read_text()
            self.assertIn(old, content)
            (copy / file).write_text(content.replace(old, new))
            message = self.fail_with(3, "embed", "--model", copy, stdin="x\n")
            self.assertIn(new.strip('"'), message)
            self.assertLessEqual(message.strip().count("\n"), 1, message)  # and a hint

    def test_list_finds_the_model(self):
        cache = self.folder / "cache" / "nearlite" / "models" / "sentence-transformers"
        cache.mkdir(parents=True)
        os.symlink(self.succeed("model", "path").out.strip(), cache / "all-MiniLM-L6-v2")
        listed = self.succeed("model", "list", "--json", env={"XDG_CACHE_HOME": str(self.folder / "cache")}).json
        self.assertIn(MODEL, [model["model"] for model in listed["models"]])

    def test_tokenize(self):
        result = self.succeed("model", "tokenize", os.environ.get("NEARLITE_TEST_MODEL", MODEL), stdin="hello world\n\n" + "word " * 500 + "\n")
        lines = result.lines
        self.assertEqual(lines[0], {"ids": [101, 7592, 2088, 102], "truncated": False})
        self.assertEqual(lines[1], {"ids": [101, 102], "truncated": False})
        self.assertEqual((len(lines[2]["ids"]), lines[2]["truncated"]), (256, True))
        self.assertTrue(result.out.startswith('{"ids":[101,7592,2088,102],"truncated":false}\n'))

    def test_verify(self):
        verified = self.succeed("model", "verify", "--json").json
        self.assertEqual(verified["tokenizer"]["model"], "WordPiece")
        self.assertTrue(verified["tokenizer"]["normalizers"])
        self.assertIn("tokenizer     {", self.succeed("model", "verify").out)
        self.assertTrue(verified["ok"])
        self.assertGreaterEqual(verified["smallest_cosine"], 0.9999)
        self.assertGreaterEqual(verified["mean_cosine"], verified["smallest_cosine"])
        self.assertIn(verified["precision"], ["fp32", "int16"])
        self.assertEqual(verified["modules"], ["Transformer", "Pooling(mean)", "Normalize"])
        self.assertEqual(verified["compared_with"], "recorded vectors")
        for precision, least in [("fp32", 0.999999), ("bf16", 0.9999), ("int16", 0.9999), ("int8", 0.996)]:
            verified = self.succeed("model", "verify", "--json", "--precision", precision).json
            self.assertEqual((verified["ok"], verified["precision"], verified["least_cosine"]), (True, precision, least))
        self.assertIn("sound\nprecision     int8, compared with recorded vectors\n",
                      self.succeed("model", "verify", "--precision", "int8").out)

    def test_verify_of_a_model_without_recorded_vectors_compares_with_fp32(self):
        copy = self.folder / "another-name"
        shutil.copytree(self.succeed("model", "path").out.strip(), copy)
        verified = self.succeed("model", "verify", copy, "--json", "--precision", "int8").json
        self.assertEqual((verified["ok"], verified["compared_with"]), (True, "fp32"))
        self.assertLess(verified["smallest_cosine"], 0.99999)

    def test_verify_fails_when_the_vectors_are_not_those_of_the_model(self):
        copy = self.folder / "all-MiniLM-L6-v2"
        shutil.copytree(self.succeed("model", "path").out.strip(), copy)
        weights = bytearray((copy / "model.safetensors").read_bytes())
        header = 8 + int.from_bytes(weights[:8], "little")
        begin = json.loads(weights[8:header])["encoder.layer.3.output.dense.bias"]["data_offsets"][0]
        weights[header + begin:header + begin + 4] = struct.pack("<f", 3.0)
        (copy / "model.safetensors").write_bytes(weights)
        self.assertIn("NOT SOUND", self.run_program("model", "verify", copy).out)

    def test_a_damaged_model_is_refused(self):
        copy = self.folder / "all-MiniLM-L6-v2"
        shutil.copytree(self.succeed("model", "path").out.strip(), copy)
        weights = copy / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        message = self.fail_with(3, "embed", "--model", copy, stdin="x\n")
        self.assertIn("model.safetensors", message)
        (copy / "modules.json").unlink()
        (copy / "config.json").unlink()
        self.fail_with(3, "model", "info", copy)


class MissingModel(ProgramTest):
    def environment(self, **changes):
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        changes = {"HOME": str(home), "XDG_CACHE_HOME": None, "NEARLITE_MODEL": None, **changes}
        return super().environment(**changes)

    def test_the_places_and_the_command_are_told(self):
        (self.folder / "empty").mkdir()
        self.make_notes("empty/app.db")
        message = self.fail_with(3, "index", "empty/app.db", "--yes")
        self.assertIn("nearlite model pull", message)
        self.assertIn(str(self.folder / "home"), message)
        self.assertEqual([file.name for file in (self.folder / "empty").iterdir()], ["app.db"])
        for command in [("embed",), ("model", "info"), ("model", "path"), ("model", "tokenize", MODEL), ("model", "verify")]:
            self.assertIn("nearlite model pull", self.fail_with(3, *command, stdin="x\n"))

    def test_offline_no_download_is_tried(self):
        self.assertIn("HF_HUB_OFFLINE", self.fail_with(4, "model", "pull", MODEL))

    def test_a_folder_that_is_not_there(self):
        self.assertIn("nowhere", self.fail_with(3, "embed", "--model", "./nowhere/model", stdin="x\n"))

    def test_search_and_backfill_without_the_model(self):
        self.make_notes()
        found = super().environment()
        model = subprocess.run([BINARY, "model", "path"], env=found, capture_output=True, text=True, check=True).stdout.strip()
        shutil.copytree(model, self.folder / "model")
        self.succeed("index", "app.db", "--yes", "--model", self.folder / "model")
        shutil.rmtree(self.folder / "model")
        self.assertIn(str(self.folder / "model"), self.fail_with(3, "search", "app.db", "soup"))
        self.fail_with(3, "backfill", "app.db")


if __name__ == "__main__":
    unittest.main()
