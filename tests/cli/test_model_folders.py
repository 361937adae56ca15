"""Model folders that are damaged, foreign or hostile: each is refused with exit code 3 and one clear line, and nothing crashes."""

import json
import math
import os
import pathlib
import shutil
import struct
import unittest

from program import ProgramTest

FAMILIES = pathlib.Path(__file__).resolve().parents[2] / "src" / "encoder" / "testdata" / "families"
MEBIBYTE = 1 << 20


class Model:
    """A small model that a test damages."""

    def __init__(self, folder, family="bert"):
        self.folder = folder
        shutil.copytree(FAMILIES / family, folder)

    def change_json(self, name, change):
        content = json.loads((self.folder / name).read_text())
        (self.folder / name).write_text(json.dumps(change(content) or content))

    def write(self, name, content):
        (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def header(self):
        """Of the weights, and the bytes behind it."""
        content = (self.folder / "model.safetensors").read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        return json.loads(content[8:end]), content[end:]

    def write_weights(self, header, tensors, name="model.safetensors", length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        self.write(name, struct.pack("<Q", len(text) if length is None else length) + text + tensors)

    def change_header(self, change):
        header, tensors = self.header()
        self.write_weights(change(header) or header, tensors)

    def change_tensor(self, name, **fields):
        self.change_header(lambda header: header[name].update(fields))

    def split(self):
        """The weights as two shards and their index."""
        header, tensors = self.header()
        names = [name for name in header if name != "__metadata__"]
        place = {}
        for shard in (1, 2):
            file, part, blob = f"model-{shard}.safetensors", {}, b""
            for name in names[shard - 1::2]:
                begin, end = header[name]["data_offsets"]
                part[name] = {**header[name], "data_offsets": [len(blob), len(blob) + end - begin]}
                blob += tensors[begin:end]
                place[name] = file
            self.write_weights(part, blob, file)
        (self.folder / "model.safetensors").unlink()
        self.write("model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": place}))


BIAS = "embeddings.LayerNorm.bias"
WORDS = "embeddings.word_embeddings.weight"
INNER = "encoder.layer.1.intermediate.dense.weight"


def only_pickle(model):
    (model.folder / "model.safetensors").rename(model.folder / "pytorch_model.bin")


def not_a_number(model):
    header, tensors = model.header()
    begin = header[INNER]["data_offsets"][0]
    model.write_weights(header, tensors[:begin] + struct.pack("<e", math.nan) + tensors[begin + 2:])


def twice(model):
    header, tensors = model.header()
    text = json.dumps(header)
    model.write_weights((text[:-1] + ', "%s": %s}' % (BIAS, json.dumps(header[BIAS]))).encode(), tensors)


def shard_missing(model):
    model.split()
    (model.folder / "model-2.safetensors").unlink()


def shard_outside(model):
    model.split()
    model.change_json("model.safetensors.index.json", lambda index: index["weight_map"].update({BIAS: "../../x.safetensors"}))


def link_outside(model):
    outside = model.folder.parent / (model.folder.name + "-outside.safetensors")
    (model.folder / "model.safetensors").rename(outside)
    os.symlink(outside, model.folder / "model.safetensors")


def sparse(name, size):
    def write(model):
        with open(model.folder / name, "r+b") as file:
            file.truncate(size)
    return write


def header_of(content, length=None):
    return lambda model: model.write_weights(content, b"", length=length)


def config(**values):
    return lambda model: model.change_json("config.json", lambda content: content.update(values))


def tokenizer(change):
    return lambda model: model.change_json("tokenizer.json", change)


def tensor(name, **fields):
    return lambda model: model.change_tensor(name, **fields)


# Number of the row in the list of inputs, what is done to the folder, what the message has to name.
DAMAGES = [
    ("1 empty", lambda model: [shutil.rmtree(model.folder), model.folder.mkdir()], ["config.json"]),
    ("2 pickle", only_pickle, ["pickle"]),
    ("5 header longer than the file", header_of(b"{}", 1000), ["model.safetensors"]),
    ("6 header of 2^63 bytes", header_of(b"{}", 1 << 63), ["model.safetensors"]),
    ("6 header of 100 MB", lambda model: [model.write_weights(b"{}", b"", length=100 * MEBIBYTE),
                                          sparse("model.safetensors", 101 * MEBIBYTE)(model)], ["model.safetensors"]),
    ("7 header not UTF-8", header_of(b'{"\xff\xfe": 1}'), ["model.safetensors"]),
    ("7 header no object", header_of(b"[1, 2]"), ["model.safetensors"]),
    ("7 deep header", header_of(b'{"a":' * 5000 + b"1" + b"}" * 5000), ["model.safetensors"]),
    ("8 a name twice", twice, [BIAS]),
    ("9 overlap", tensor(BIAS, data_offsets=[0, 96]), ["model.safetensors"]),
    ("9 backwards", tensor(BIAS, data_offsets=[96, 48]), [BIAS]),
    ("9 gap", lambda model: model.write_weights(model.header()[0], model.header()[1] + b"1234"), ["model.safetensors"]),
    ("9 cut", lambda model: model.write_weights(model.header()[0], model.header()[1][:-10]), ["model.safetensors"]),
    ("10 product overflows", tensor(BIAS, shape=[1 << 32, 1 << 32]), [BIAS]),
    ("10 negative", tensor(BIAS, shape=[-24]), [BIAS]),
    ("10 1e18", tensor(BIAS, shape=[10**18]), [BIAS]),
    ("10 rank 64", tensor(BIAS, shape=[1] * 63 + [24]), [BIAS]),
    ("11 unknown type", tensor(BIAS, dtype="F7"), ["F7"]),
    ("11 size does not fit", tensor(BIAS, shape=[25]), [BIAS]),
    ("12 tensor missing", lambda model: model.change_header(lambda header: {INNER + "s" if n == INNER else n: t for n, t in header.items()}),
     [INNER, "[40, 24]"]),
    ("13 shape and config", config(intermediate_size=48), [INNER.replace("1", "0"), "[40, 24]", "[48, 24]"]),
    ("14 10^9 layers", config(num_hidden_layers=10**9), ["num_hidden_layers"]),
    ("14 hidden size 0", config(hidden_size=0), ["hidden_size"]),
    ("14 heads that do not divide", config(num_attention_heads=5), ["5 attention heads", "24"]),
    ("14 a number that is text", config(hidden_size="24"), ["hidden_size"]),
    ("15 NaN", not_a_number, [INNER]),
    ("16 architecture", config(model_type="t5"), ["t5", "bert", "mpnet"]),
    ("16 activation", config(hidden_act="mish"), ["mish"]),
    ("17 shard missing", shard_missing, ["model-2.safetensors"]),
    ("18 shard outside", shard_outside, ["../../x.safetensors"]),
    ("19 link outside", link_outside, ["model.safetensors"]),
    ("20 pattern", tokenizer(lambda content: content.update(pre_tokenizer={
        "type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False})), ["(a+)+$"]),
    ("20 unknown part", tokenizer(lambda content: content["normalizer"].update(type="Wonder")), ["Wonder"]),
    ("21 id twice", tokenizer(lambda content: content["model"]["vocab"].update({"%": 3})), ["tokenizer.json"]),
    ("21 more ids than rows", tokenizer(lambda content: content["model"]["vocab"].update({"surplus": 385})), ["385"]),
    ("21 no unknown token", tokenizer(lambda content: content["model"].update(unk_token="[NOSUCH]")), ["[NOSUCH]"]),
    ("23 a tokenizer of 2 GB", sparse("tokenizer.json", 2 << 30), ["tokenizer.json"]),
    ("23 deep tokenizer", lambda model: model.write("tokenizer.json", '{"a":' * 100_000 + "1" + "}" * 100_000), ["tokenizer.json"]),
    ("modules unknown", lambda model: model.change_json("modules.json", lambda modules: modules[2].update(type="x.Sorcery")), ["Sorcery"]),
    ("modules outside", lambda model: model.change_json("modules.json", lambda modules: modules[1].update(path="../1_Pooling")), ["../1_Pooling"]),
    ("modules not JSON", lambda model: model.write("modules.json", "["), ["modules.json"]),
    ("config not JSON", lambda model: model.write("config.json", '{"model_type": '), ["config.json"]),
    ("config bomb", lambda model: model.write("config.json", "[" * 1_000_000), ["config.json"]),
]  # fmt: skip


class ModelFolders(ProgramTest):
    def test_what_is_wrong_is_refused_in_one_line(self):
        for number, (name, damage, wanted) in enumerate(DAMAGES):
            with self.subTest(name):
                model = Model(self.folder / str(number))
                damage(model)
                message = self.fail_with(3, "embed", "--model", model.folder, stdin="a text\n")
                for word in wanted:
                    self.assertIn(word, message)
                self.assertLessEqual(message.strip().count("\n"), 1, message)  # the line, and a hint
                self.assertLess(len(message), 1500)

    def test_a_merge_of_a_token_that_is_not_there(self):
        model = Model(self.folder / "merges", "roberta")
        model.change_json("tokenizer.json", lambda content: content["model"]["merges"].append(["Ġ", "nosuchtoken"]))
        self.assertIn("nosuchtoken", self.fail_with(3, "embed", "--model", model.folder, stdin="a text\n"))

    def test_what_is_unusual_is_read(self):
        plain = self.succeed("embed", "--model", Model(self.folder / "plain").folder, stdin="a text\n").out
        code = Model(self.folder / "code")
        code.write("modeling_own.py", "raise SystemExit('never run')\n")
        code.change_json("config.json", lambda content: content.update(auto_map={"AutoModel": "modeling_own.Own"}))
        self.assertEqual(self.succeed("embed", "--model", code.folder, stdin="a text\n").out, plain)
        self.assertIn("never run", self.succeed("model", "info", code.folder).out)
        shards = Model(self.folder / "shards")
        shards.split()
        self.assertEqual(self.succeed("embed", "--model", shards.folder, stdin="a text\n").out, plain)
        words = Model(self.folder / "words")
        vocabulary = json.loads((words.folder / "tokenizer.json").read_text())["model"]["vocab"]
        words.write("vocab.txt", "".join(token + "\n" for token, _ in sorted(vocabulary.items(), key=lambda item: item[1])))
        (words.folder / "tokenizer.json").unlink()
        self.succeed("embed", "--model", words.folder, stdin="a text\n")
        self.assertIn("vocab.txt", self.succeed("model", "info", words.folder).out)

    def test_weights_of_every_type_give_the_same_vectors(self):
        half = Model(self.folder / "half")
        single = Model(self.folder / "single")
        header, tensors = single.header()
        parts, blob = {}, b""
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            values = struct.unpack(f"<{(end - begin) // 2}e", tensors[begin:end])
            content = struct.pack(f"<{len(values)}f", *values)
            parts[name] = {"dtype": "F32", "shape": entry["shape"], "data_offsets": [len(blob), len(blob) + len(content)]}
            blob += content
        single.write_weights(parts, blob)
        # Each upper half of a float is a bfloat16: what the single-precision weights become when they are cut.
        brain = Model(self.folder / "brain")
        cut = {name: {"dtype": "BF16", "shape": entry["shape"], "data_offsets": [begin // 2 for begin in entry["data_offsets"]]}
               for name, entry in parts.items()}  # fmt: skip
        brain.write_weights(cut, b"".join(blob[i + 2:i + 4] for i in range(0, len(blob), 4)))

        def vector(model):
            return self.succeed("embed", "--model", model.folder, "--precision", "fp32", stdin="a text\n").lines[0]

        exact = vector(half)
        self.assertEqual(vector(single), exact)
        cosine = sum(a * b for a, b in zip(vector(brain), exact))
        self.assertGreater(cosine, 0.999)


if __name__ == "__main__":
    unittest.main()
