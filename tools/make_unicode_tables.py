#!/usr/bin/env python3
"""Writes src/text/unicode_tables.cpp by asking the reference library about every code point.

The tables of the reference are of several Unicode versions at once (control characters and punctuation of one, white
space and lower-casing of another), so no Unicode library gives its answers. This script probes them instead:

    pip install tokenizers==0.23.3
    python tools/make_unicode_tables.py > src/text/unicode_tables.cpp
"""

import json
import sys

import tokenizers
from tokenizers import Tokenizer, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)


def bert(**flags):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **flags}).normalize_str


def probe_cleaning():
    """Code points that clean_text deletes, and those that it turns into a space."""
    clean = bert(clean_text=True)
    deleted, spaces = [], []
    for c in CODE_POINTS:
        got = clean(f"a{chr(c)}b")
        if got == "ab":
            deleted.append(c)
        elif got == "a b":
            spaces.append(c)
        else:
            assert got == f"a{chr(c)}b", hex(c)
    return deleted, spaces


def probe_ideographs():
    spaced = bert(handle_chinese_chars=True)
    return [c for c in CODE_POINTS if spaced(f"a{chr(c)}b") == f"a {chr(c)} b"]


def probe_pre_tokenizer():
    """White space that separates words, and punctuation that is a word of its own."""
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    spaces, punctuation = [], []
    for c in CODE_POINTS:
        words = [word for word, _ in split(f"a{chr(c)}b")]
        if words == ["a", "b"]:
            spaces.append(c)
        elif len(words) == 3:
            punctuation.append(c)
        else:
            assert words == [f"a{chr(c)}b"], hex(c)
    return spaces, punctuation


def probe_accents():
    """What strip_accents makes of each code point: stripped ones, and replacements without stripped parts."""
    strip, nfd = bert(strip_accents=True), normalizers.NFD().normalize_str
    stripped = {c for c in CODE_POINTS if strip(chr(c)) == ""}
    replaced = {}
    for c in CODE_POINTS:
        got = strip(chr(c))
        assert got == "".join(x for x in nfd(chr(c)) if ord(x) not in stripped), hex(c)
        if c in stripped or got == chr(c):
            continue
        parts = [ord(x) for x in got]
        if c in HANGUL:  # computed, not stored
            s = c - 0xAC00
            jamo = [0x1100 + s // 588, 0x1161 + s % 588 // 28, 0x11A7 + s % 28]
            assert parts == jamo[: 2 if s % 28 == 0 else 3], hex(c)
        else:
            replaced[c] = parts
    return stripped, replaced


# One code point of each canonical combining class that Unicode has, all of them older than Unicode 5.
CLASS_EXAMPLES = {
    1: 0x334, 7: 0x93C, 8: 0x3099, 9: 0x94D, 10: 0x5B0, 11: 0x5B1, 12: 0x5B2, 13: 0x5B3, 14: 0x5B4, 15: 0x5B5,
    16: 0x5B6, 17: 0x5B7, 18: 0x5B8, 19: 0x5B9, 20: 0x5BB, 21: 0x5BC, 22: 0x5BD, 23: 0x5BF, 24: 0x5C1, 25: 0x5C2,
    26: 0xFB1E, 27: 0x64B, 28: 0x64C, 29: 0x64D, 30: 0x64E, 31: 0x64F, 32: 0x650, 33: 0x651, 34: 0x652, 35: 0x670,
    36: 0x711, 84: 0xC55, 91: 0xC56, 103: 0xE38, 107: 0xE48, 118: 0xEB8, 122: 0xEC8, 129: 0xF71, 130: 0xF72,
    132: 0xF74, 202: 0x321, 216: 0x31B, 218: 0x302A, 220: 0x316, 222: 0x59A, 224: 0x302E, 226: 0x1D16D, 228: 0x5AE,
    230: 0x301, 232: 0x315, 233: 0x35C, 234: 0x35D, 240: 0x345,
}  # fmt: skip


def probe_combining_classes(code_points):
    """The combining class by which canonical ordering sorts (a class between two examples is as good as the lower)."""
    nfd = normalizers.NFD().normalize_str
    classes = {}
    first, last = chr(CLASS_EXAMPLES[1]), chr(CLASS_EXAMPLES[240])
    for c in code_points:
        if nfd(last + chr(c))[-1] != last and nfd(chr(c) + first)[0] != first:
            continue  # a starter: it passes neither of the two (quick check)
        examples = {k: chr(x) for k, x in CLASS_EXAMPLES.items() if x != c}
        moves_before = [k for k, x in examples.items() if nfd(x + chr(c)) == chr(c) + x]
        moves_behind = [k for k, x in examples.items() if nfd(chr(c) + x) == x + chr(c)]
        if not moves_before and not moves_behind:
            continue  # a starter
        same = [k for k in CLASS_EXAMPLES if k not in moves_before and k not in moves_behind]
        assert len(same) <= 1, hex(c)
        classes[c] = same[0] if same else max(moves_behind, default=0) + 1
    return classes


def probe_lower_case():
    lower = bert(lowercase=True)
    return {c: [ord(x) for x in lower(chr(c))] for c in CODE_POINTS if lower(chr(c)) != chr(c)}


def probe_word_characters():
    r"""The characters beside which a `single_word` added token does not match (\w)."""
    content = "\u00a7\u00a7"
    tokenizer = Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "decoder": None,
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": None,
        "added_tokens": [{"id": 1, "content": content, "special": False, "single_word": True, "lstrip": False,
                          "rstrip": False, "normalized": False}],
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0}}}))  # fmt: skip
    sides = []
    for form in (lambda c: c + content, lambda c: content + c):
        sides.append([c for c in CODE_POINTS if 1 not in tokenizer.encode(form(chr(c))).ids])
    assert sides[0] == sides[1]
    return sides[0]


def ranges(code_points, value=lambda c: None):
    """Runs of neighbouring code points of the same value: [(first, last, value)]."""
    result = []
    for c in sorted(code_points):
        if result and result[-1][1] == c - 1 and result[-1][2] == value(c):
            result[-1][1] = c
        else:
            result.append([c, c, value(c)])
    return result


def lower_case_runs(lower):
    """[(first, last, step, delta)] such that first, first + step, ... last are all moved by delta."""
    runs = []
    for c in sorted(lower):
        delta = lower[c] - c
        if runs and runs[-1][3] == delta:
            first, last, step, _ = runs[-1]
            gap = c - last
            if gap in (1, 2) and (gap == step or first == last):
                runs[-1] = [first, c, gap, delta]
                continue
        runs.append([c, c, 1, delta])
    return runs


def write_table(kind, name, items):
    print(f"constexpr {kind} {name}Items[] = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += f" {item},"
    print(line + "\n};\n")


def write_ranges(name, code_points):
    write_table("CodePointRange", name, [f"{{{a:#x}, {b:#x}}}" for a, b, _ in ranges(code_points)])


def main():
    deleted, clean_spaces = probe_cleaning()
    ideographs = probe_ideographs()
    white_space, punctuation = probe_pre_tokenizer()
    stripped, replaced = probe_accents()
    lower = probe_lower_case()
    kept_marks = probe_combining_classes([c for c in CODE_POINTS if c not in stripped])
    kept_marks = {c: k for c, k in kept_marks.items() if c not in replaced}
    stripped_marks = probe_combining_classes(sorted(stripped))
    stripped_starters = [c for c in stripped if c not in stripped_marks]

    # What the C++ code relies on.
    assert set(clean_spaces) == set(white_space) - set(deleted)
    assert not set(kept_marks) & (set(deleted) | set(white_space) | set(punctuation) | set(ideographs) | set(lower))
    assert not set(lower) & (set(deleted) | set(white_space) | set(ideographs) | set(HANGUL))
    long_lower = {c: x for c, x in lower.items() if len(x) > 1}
    assert list(long_lower.items()) == [(0x130, [0x69, 0x307])]
    full = normalizers.NFD().normalize_str
    for c in replaced:  # a stripped starter behind a kept mark would end the run of marks inside a replacement
        parts = [ord(x) for x in full(chr(c))]
        assert not (set(parts) & set(stripped_starters) and set(parts) & set(kept_marks)), hex(c)

    print(f"// Generated by tools/make_unicode_tables.py from tokenizers {tokenizers.__version__}. Do not edit.")
    print("// clang-format off")
    print('#include "unicode_tables.h"\n\nnamespace nearlite::unicode {\nnamespace {\n')
    write_ranges("kDeleted", deleted)
    write_ranges("kWhiteSpace", white_space)
    write_ranges("kPunctuation", punctuation)
    write_ranges("kIdeographs", ideographs)
    write_ranges("kStripped", stripped)
    write_ranges("kStrippedStarters", stripped_starters)
    write_ranges("kWordCharacters", probe_word_characters())
    write_table("MarkRange", "kKeptMarks",
                [f"{{{a:#x}, {b:#x}, {k}}}" for a, b, k in ranges(kept_marks, kept_marks.get)])
    write_table("LowerCaseRun", "kLowerCase",
                [f"{{{a:#x}, {b:#x}, {s}, {d}}}"
                 for a, b, s, d in lower_case_runs({c: x[0] for c, x in lower.items() if c not in long_lower})])
    pool, index = [], []
    for c, parts in sorted(replaced.items()):
        if len(parts) == 1:
            index.append(f"{{{c:#x}, {parts[0]:#x}, 1}}")
        else:
            index.append(f"{{{c:#x}, {len(pool)}, {len(parts)}}}")
            pool += parts
    write_table("Replacement", "kReplacements", index)
    write_table("char32_t", "kReplacementParts", [f"{c:#x}" for c in pool])
    print("}  // namespace\n")
    for kind, name in [("CodePointRange", n) for n in
                       ("kDeleted", "kWhiteSpace", "kPunctuation", "kIdeographs", "kStripped", "kStrippedStarters",
                        "kWordCharacters")] + [("MarkRange", "kKeptMarks"), ("LowerCaseRun", "kLowerCase"),
                                               ("Replacement", "kReplacements"), ("char32_t", "kReplacementParts")]:
        print(f"const std::span<const {kind}> {name}{{{name}Items}};")
    print("\n}  // namespace nearlite::unicode")


if __name__ == "__main__":
    sys.exit(main())
