#!/usr/bin/env python3
"""Makes src/encoder/testdata/families: a small random model of every architecture, saved by sentence-transformers
itself, texts, and the vectors that it gives them in fp32.

Needs torch, transformers, sentence-transformers (made with 6.2.0) and tokenizers.

  tools/make_family_goldens.py [--out src/encoder/testdata/families]

Weights are rounded to half precision before they are saved and used, so that the files are small and exact.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import tokenizer_types  # noqa: E402
from tokenizer_types_parity import SENTENCES, WRITTEN  # noqa: E402

TRAINING = [text for text in WRITTEN + SENTENCES[:2] if text] * 3
SMALL_MAP = {k: v for k, v in tokenizer_types.charsmap_rules().items() if ord(k[0]) < 0x180 or 0x2000 <= ord(k[0]) < 0x2070}
HIDDEN = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40)
TEXTS = ["hello world", "a", "", "Der schnelle Fuchs", "naïve café", "New York is x86", "one two three four five six", "quick brown fox " * 20,
         "long " * 300, "a <mask> b [MASK]", "12345 678", "Le cœur a ses raisons"]  # fmt: skip
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


def word_piece(texts):
    tokenizer = tokenizer_types.word_piece(texts)
    from tokenizers import normalizers, pre_tokenizers

    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    return tokenizer


def mpnet_tokenizer(texts):
    """WordPiece between <s> and </s>, as MPNet's."""
    tokenizer = word_piece(texts)
    tokenizer.add_special_tokens(["<s>", "</s>", "<pad>"])
    tokenizer.post_processor = tokenizer_types.template("<s>", "</s>", tokenizer)
    return tokenizer


def network(kind, vocabulary):
    """The random network and the special tokens of its tokenizer."""
    torch.manual_seed(len(kind))
    roberta = dict(vocab_size=vocabulary, max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5, **HIDDEN)
    if kind == "bert":
        config = transformers.BertConfig(vocab_size=vocabulary, max_position_embeddings=64, **HIDDEN)
    elif kind == "roberta":
        config = transformers.RobertaConfig(hidden_act="gelu_new", **roberta)
    elif kind == "xlm_roberta":
        config = transformers.XLMRobertaConfig(**roberta)
    elif kind == "camembert":
        config = transformers.CamembertConfig(**roberta)
    elif kind == "mpnet":
        config = transformers.MPNetConfig(vocab_size=vocabulary, max_position_embeddings=302, pad_token_id=1, **HIDDEN)
    else:
        config = transformers.DistilBertConfig(vocab_size=vocabulary, max_position_embeddings=64, dim=24, n_layers=2, n_heads=3,
                                               hidden_dim=40, sinusoidal_pos_embds=True)  # fmt: skip
    model = transformers.AutoModel.from_config(config)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():  # far from what it starts as, where biases are 0 and attention is even
        for name, weights in model.named_parameters():
            noise = torch.randn(weights.shape, generator=generator)
            if "LayerNorm.weight" in name or "layer_norm.weight" in name:
                weights.copy_(1 + 0.1 * noise)
            elif weights.dim() == 1:
                weights.copy_(0.2 * noise)
            else:
                weights.copy_(noise * (1.0 if "embeddings" in name or "relative" in name else 1.5 / weights.shape[-1] ** 0.5))
    return model


def round_weights(module):
    with torch.no_grad():
        for weights in module.parameters():
            weights.copy_(weights.half().float())


TOKENIZERS = {"bert": word_piece, "roberta": lambda t: tokenizer_types.roberta(t, 320), "xlm_roberta": lambda t: tokenizer_types.xlm_roberta(t, 200),
              "camembert": lambda t: tokenizer_types.camembert(t, 200), "mpnet": mpnet_tokenizer, "distilbert": word_piece}  # fmt: skip
SPECIALS = {"bert": ("[CLS]", "[SEP]", "[UNK]"), "distilbert": ("[CLS]", "[SEP]", "[UNK]"), "mpnet": ("<s>", "</s>", "[UNK]")}


def transformer_module(kind, place, max_length):
    tokenizer = TOKENIZERS[kind](TRAINING)
    cls, sep, unk = SPECIALS.get(kind, ("<s>", "</s>", "<unk>"))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token=cls, sep_token=sep, unk_token=unk,
                                                pad_token="<pad>" if kind not in ("bert", "distilbert") else unk, model_max_length=max_length)  # fmt: skip
    model = network(kind, tokenizer.get_vocab_size())
    round_weights(model)
    model.save_pretrained(place)
    fast.save_pretrained(place)
    return Transformer(str(place), max_seq_length=max_length)


def half_files(folder, keep):
    """The weights once more in 16 bits where `keep` allows it: nothing is lost."""
    for file in folder.rglob("*.safetensors"):
        tensors = load_file(file)
        if keep == "F16":
            tensors = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
        save_file(tensors, file, metadata={"format": "pt"})


def shard(folder):
    """Two files and their index, as large checkpoints have."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, members in parts.items():
        save_file({name: tensors[name] for name in members}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, members in parts.items() for name in members}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def finish(model, folder, shown, keep="F16"):
    model.eval()
    torch.set_num_threads(1)
    vectors = numpy.stack([model.encode([text], batch_size=1) for text in TEXTS])[:, 0]
    model.save(str(folder), create_model_card=False)
    for name in ("README.md", "tokenizer_config.json.bak"):
        (folder / name).unlink(missing_ok=True)
    half_files(folder, keep)
    print(shown, vectors.shape, sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()))
    return [[float(x) for x in row] for row in vectors.astype(numpy.float32)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "src/encoder/testdata/families")
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    tokenizer_types.charsmap_rules = lambda: SMALL_MAP
    goldens = {}
    scratch = out.parent / "families.tmp"
    limits = {"mpnet": 300}
    torch.manual_seed(3)
    tails = {
        "bert": lambda: [Pooling(24, "cls"), Dense(24, 16, activation_function=torch.nn.Tanh()), LayerNorm(16), Normalize()],
        "roberta": lambda: [Pooling(24, "mean")],
        "xlm_roberta": lambda: [Pooling(24, "mean"), Normalize()],
        "camembert": lambda: [Pooling(24, "max")],
        "mpnet": lambda: [Pooling(24, "mean"), Normalize()],
        "distilbert": lambda: [Pooling(24, "weightedmean")],
    }
    for kind, tail in tails.items():
        shutil.rmtree(scratch, ignore_errors=True)
        modules = [transformer_module(kind, scratch, limits.get(kind, 64)), *tail()]
        for module in modules[1:]:
            round_weights(module)
        prompts = {"query": "query: ", "passage": "passage: "} if kind == "xlm_roberta" else {}
        model = SentenceTransformer(modules=modules, device="cpu", prompts=prompts)
        if kind == "distilbert":
            goldens["modes"] = {
                mode: [[float(x) for x in model_of(modules[0], mode).encode([text])[0]] for text in TEXTS] for mode in MODES}
        if kind == "xlm_roberta":
            goldens["query"] = [[float(x) for x in model.encode_query([text])[0]] for text in TEXTS]
        goldens[kind] = finish(model, out / kind, kind)
        if kind == "camembert":
            shard(out / kind)
    shutil.rmtree(scratch, ignore_errors=True)

    tokenizer = word_piece(TRAINING)
    tokenizer.post_processor = None
    weights = torch.randn(tokenizer.get_vocab_size(), 16, generator=torch.Generator().manual_seed(5)).half().float()
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    goldens["static"] = finish(SentenceTransformer(modules=[StaticEmbedding(tokenizer, weights), Normalize()], device="cpu"),
                               out / "static", "static", keep="F32")  # fmt: skip
    (out / "goldens.json").write_text(json.dumps({"texts": TEXTS, "vectors": goldens}))


def model_of(transformer, mode):
    return SentenceTransformer(modules=[transformer, Pooling(24, mode)], device="cpu").eval()


if __name__ == "__main__":
    main()
