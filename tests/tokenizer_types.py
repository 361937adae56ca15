"""Tokenizers of every kind that common models have, trained with the reference library on the texts given."""

import base64
import json
import struct
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = QWEN.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")


def charsmap_rules():
    """NFKC of the first planes, composed pairs, and white space and controls as sentencepiece maps them."""
    rules = {}
    for c in [*range(0x20, 0xD800), *range(0xF900, 0x10000), *range(0x1D400, 0x1D800), *range(0x2F800, 0x2FA20)]:
        character, nfkc = chr(c), unicodedata.normalize("NFKC", chr(c))
        if nfkc != character:
            rules[character] = nfkc
        nfd = unicodedata.normalize("NFD", character)
        if len(nfd) == 2 and c < 0x2000 and nfkc == character:
            rules[nfd] = character
    for c in [*range(0x01, 0x09), *range(0x0B, 0x0D), *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F, 0x200B, 0x200C, 0x200E, 0x200F]:
        rules[chr(c)] = ""
    for c in [0x09, 0x0A, 0x0D, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x2581, 0x3000, 0xFEFF]:
        rules[chr(c)] = " "
    return rules


def charsmap(rules):
    """The rules as a double array with a pool of replacements, as sentencepiece stores them."""
    pool, places = bytearray(), {}
    for value in sorted(set(rules.values())):
        places[value] = len(pool)
        pool += value.encode() + b"\0"
    tree = {}
    for key, value in sorted(rules.items()):
        node = tree
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = places[value]
    units, used = [0] * 512, [False] * 512
    used[0] = True
    first_free = 1

    def grow(size):
        while len(units) < size:
            units.extend([0] * 256)
            used.extend([False] * 256)

    def place(at, node):
        nonlocal first_free
        labels = sorted(0 if label is None else label for label in node)
        while used[first_free]:
            first_free += 1
            grow(first_free + 1)
        spot = first_free
        while True:  # the first base at which all children are free
            base = spot ^ labels[0]
            grow((base | 255) + 1)
            if base != at and not any(used[base ^ label] for label in labels):
                break
            spot += 1
            grow(spot + 256)
        assert (at ^ base) < 1 << 21
        units[at] |= (at ^ base) << 10 | (1 << 8 if None in node else 0)
        for label in labels:
            used[base ^ label] = True
        for label, child in node.items():
            if label is None:
                units[base] = 1 << 31 | child
            else:
                units[base ^ label] |= label
        for label, child in node.items():
            if label is not None:
                place(base ^ label, child)

    place(0, tree)
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + bytes(pool)


def template(first, last, tokenizer):
    ids = {token: tokenizer.token_to_id(token) for token in (first, last)}
    return processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=list(ids.items()))


def unigram(texts, size, normalizer, pre_tokenizer, byte_fallback=False):
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trained = Tokenizer(models.Unigram())
    trained.normalizer, trained.pre_tokenizer = normalizer, pre_tokenizer
    trained.train_from_iterator(texts, trainers.UnigramTrainer(
        vocab_size=size, special_tokens=specials, unk_token="<unk>", show_progress=False))  # fmt: skip
    vocabulary = [tuple(entry) for entry in json.loads(trained.to_str())["model"]["vocab"]]
    if byte_fallback:
        vocabulary += [(f"<0x{byte:02X}>", -9.5) for byte in range(256)]
    tokenizer = Tokenizer(models.Unigram([*vocabulary, ("<mask>", 0.0)], unk_id=3, byte_fallback=byte_fallback))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.add_special_tokens([*specials, AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.post_processor = template("<s>", "</s>", tokenizer)
    return tokenizer


def xlm_roberta(texts, size=6000):
    return unigram(texts, size, normalizers.Precompiled(charsmap(charsmap_rules())),
                   pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]))  # fmt: skip


def camembert(texts, size=3000):
    steps = [normalizers.Precompiled(charsmap(charsmap_rules())), normalizers.Strip(left=False, right=True),
             normalizers.Replace(Regex(" {2,}"), "\u2581")]  # fmt: skip
    return unigram(texts, size, normalizers.Sequence(steps), pre_tokenizers.Metaspace(prepend_scheme="always"))


def unigram_bytes(texts, size=2000):
    tokenizer = unigram(texts, size, normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]),
                        pre_tokenizers.Metaspace(prepend_scheme="first"), byte_fallback=True)  # fmt: skip
    tokenizer.add_tokens([AddedToken("New York", single_word=True, normalized=True), AddedToken("ﬁx", normalized=True)])
    return tokenizer


def byte_level(texts, size, normalizer, pre_tokenizer, specials, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def roberta(texts, size=6000, add_prefix_space=False):
    specials = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False)]
    tokenizer = byte_level(texts, size, None, pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space), specials)
    ids = {name: (name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")}
    tokenizer.post_processor = processors.RobertaProcessing(
        ids["</s>"], ids["<s>"], trim_offsets=True, add_prefix_space=add_prefix_space)  # fmt: skip
    return tokenizer


def roberta_with_prefix(texts):
    return roberta(texts, 1500, add_prefix_space=True)


def modernbert(texts, size=3000):
    tokenizer = byte_level(texts, size, normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False),
                           ["[UNK]", "[CLS]", "[SEP]", "[PAD]"])  # fmt: skip
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(2, 25)] + [AddedToken("|||IP|||", normalized=True)])
    tokenizer.post_processor = template("[CLS]", "[SEP]", tokenizer)
    return tokenizer


def split_pattern(texts, pattern):
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer = byte_level(texts, 3000, normalizers.NFC(), pre_tokenizers.Sequence(steps), ["<|endoftext|>"], ignore_merges=True)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)])])  # fmt: skip
    return tokenizer


def plain_bpe(texts):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=2000, limit_alphabet=300, special_tokens=["<unk>", "<s>"], end_of_word_suffix="</w>", show_progress=False))  # fmt: skip
    tokenizer.add_tokens(["c++", AddedToken("naïve", normalized=True), AddedToken("x86", single_word=True, rstrip=True)])
    return tokenizer


def prefix_bpe(texts):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "merged_with_next"), pre_tokenizers.Digits()])
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=2000, limit_alphabet=200, special_tokens=["<unk>"], continuing_subword_prefix="##", show_progress=False))  # fmt: skip
    return tokenizer


def whole_text_bpe(texts):
    """As Llama and Gemma: no words, unknown characters as bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    trained.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=2500, limit_alphabet=400, special_tokens=["<unk>", "<s>", "</s>", *alphabet], show_progress=False))  # fmt: skip
    content = json.loads(trained.to_str())
    content["model"].update(byte_fallback=True, fuse_unk=True)
    content["added_tokens"] = content["added_tokens"][:3]
    content["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.post_processor = template("<s>", "</s>", tokenizer)
    return tokenizer


def word_level(texts):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Punctuation("contiguous")])  # fmt: skip
    tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=4000, special_tokens=["[PAD]", "[UNK]"], show_progress=False))
    return tokenizer


def word_piece(texts):
    """WordPiece behind other parts than BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("``", '"'), normalizers.BertNormalizer(lowercase=False)])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Punctuation("merged_with_previous")])  # fmt: skip
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=3000, limit_alphabet=500, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False))  # fmt: skip
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


TYPES = {
    "xlm_roberta": xlm_roberta,
    "camembert": camembert,
    "unigram_bytes": unigram_bytes,
    "roberta": roberta,
    "roberta_with_prefix": roberta_with_prefix,
    "modernbert": modernbert,
    "qwen": lambda texts: split_pattern(texts, QWEN),
    "cl100k": lambda texts: split_pattern(texts, CL100K),
    "plain_bpe": plain_bpe,
    "prefix_bpe": prefix_bpe,
    "whole_text_bpe": whole_text_bpe,
    "word_level": word_level,
    "word_piece": word_piece,
}


def saved(tokenizer, merges_as_text=False):
    """tokenizer.json; old files hold merges as one text each."""
    content = json.loads(tokenizer.to_str())
    if merges_as_text and "merges" in content["model"]:
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    return json.dumps(content, ensure_ascii=False)
