#!/usr/bin/env python3
"""Writes src/text/unicode_forms.cpp by asking the reference library about every code point.

What tokenizers other than BERT's need: the four normalization forms, the classes of the byte-level patterns and the
borders of grapheme clusters. The reference takes each from a library of another Unicode version, so it is probed:

    pip install tokenizers==0.23.3
    python tools/make_unicode_forms.py > src/text/unicode_forms.cpp
"""

import base64
import struct
import sys

import tokenizers
from make_unicode_tables import CODE_POINTS, HANGUL, probe_combining_classes, ranges, write_ranges, write_table
from tokenizers import normalizers, pre_tokenizers


def probe_decompositions():
    """Full canonical decompositions, and compatibility ones where they differ; without Hangul syllables."""
    nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
    canonical, compatible = {}, {}
    for c in CODE_POINTS:
        d, k = nfd(chr(c)), nfkd(chr(c))
        if c in HANGUL:
            s = c - 0xAC00
            jamo = [0x1100 + s // 588, 0x1161 + s % 588 // 28, 0x11A7 + s % 28][: 2 if s % 28 == 0 else 3]
            assert d == k == "".join(map(chr, jamo)), hex(c)
            continue
        if d != chr(c):
            canonical[c] = [ord(x) for x in d]
        if k != d:
            compatible[c] = [ord(x) for x in k]
    return canonical, compatible


def probe_compositions(canonical):
    """{(first, second): composed}, for all that NFC composes but Hangul."""
    nfc = normalizers.NFC().normalize_str
    pairs = {}
    for c, parts in canonical.items():
        if len(parts) < 2 or nfc(chr(c)) != chr(c):
            continue
        first = nfc("".join(map(chr, parts[:-1])))
        assert len(first) == 1, hex(c)
        pair = (ord(first), parts[-1])
        assert nfc(first + chr(parts[-1])) == chr(c) and pair not in pairs, hex(c)
        pairs[pair] = c
    return pairs


def probe_byte_level():
    """Letters, numbers and white space as the byte-level pattern sees them; the rest is the rest."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    letters, numbers, spaces = [], [], []
    for c in CODE_POINTS:
        if len(split(f"a{chr(c)}")) == 1:
            letters.append(c)
        elif len(split(f"1{chr(c)}")) == 1:
            numbers.append(c)
        elif len(split(f"!{chr(c)}")) > 1:
            assert len(split(f"a{chr(c)}{chr(c)}")) == 2, hex(c)
            spaces.append(c)
    return letters, numbers, spaces


def probe_numeric():
    split = pre_tokenizers.Digits(individual_digits=False).pre_tokenize_str
    return [c for c in CODE_POINTS if len(split(f"a{chr(c)}")) == 2]


def probe_marks():
    strip = normalizers.StripAccents().normalize_str
    return [c for c in CODE_POINTS if strip(chr(c)) == ""]


def cluster_counter():
    """A function that tells how many replacements a text suffers whose every cluster of at most 5 bytes becomes "X"; of
    a longer cluster each character does. The character map is a double array with one leaf for every first byte."""
    units = [0] * 1024
    units[0] = 256 << 10
    for byte in range(1, 256):
        at = 256 ^ byte
        units[at] = (at ^ 512) << 10 | 1 << 8 | byte
    units[512] = 1 << 31
    blob = struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + b"X\0"
    normalize = normalizers.Precompiled(blob).normalize_str
    return lambda text: len(normalize(text))


def probe_clusters():
    """The classes that decide where a cluster of at most 5 bytes ends."""
    count = cluster_counter()
    assert count("ab") == 2 and count("a\u0301") == 1 and count("a\u20dd") == 1 and count("\u0915\u0301\u0301") == 3
    extend = [c for c in CODE_POINTS if c and count(f"a{chr(c)}") == 1]
    prepend = [c for c in CODE_POINTS if c > 0x7F and c not in HANGUL and count(f"{chr(c)}a") == 1]
    control = [c for c in CODE_POINTS if c and count(f"{chr(c)}\u0301\u0301") == 2 and count(f"{chr(c)}\u0301") == 2]
    joined = set(extend) | set(control)
    # Of longer clusters each character is replaced: a second part that joins is seen by the mark behind it.
    heart = "\u2764"
    right = [c for c in CODE_POINTS if c not in joined and 0x7F < c < 0x10000 and
             count(f"{heart}\u200d{chr(c)}\u0301") == 4]  # fmt: skip
    left = [c for c in CODE_POINTS if c not in joined and c > 0x7F and count(f"{chr(c)}\u200d{heart}\u0301") == 4]
    assert set(right) <= set(left) and all(c > 0xFFFF for c in set(left) - set(right))
    ka, virama = "\u0915", "\u094d"
    consonant = [c for c in CODE_POINTS if c not in joined and c > 0x7F and count(f"{chr(c)}{virama}{ka}\u0301") == 4]
    linker = [c for c in extend if c > 0x7F and count(f"{ka}{chr(c)}{ka}\u0301") == 4]
    link_extend = [c for c in extend if c > 0x7F and count(f"{ka}{chr(c)}{virama}{ka}\u0301") == 5]
    assert set(linker) <= set(link_extend)
    assert count("\u1100\u1161\u0301") == 3 and count("\uac00\u11a8\u0301") == 3 and count("\u1100\u1100\u0301") == 3
    assert count("\u1161\uac00\u0301") == 2 and count("\u11a8\u1161\u0301") == 2
    vowels = [c for c in CODE_POINTS if 0x7F < c < 0x10000 and c not in joined and count(f"\u1161{chr(c)}\u0301") == 3]
    trailing = [c for c in CODE_POINTS if 0x7F < c < 0x10000 and c not in joined and count(f"\u11a8{chr(c)}\u0301") == 3]
    after_leading = [c for c in CODE_POINTS if 0x7F < c < 0x10000 and c not in joined and
                     count(f"\u1100{chr(c)}\u0301") == 3]  # fmt: skip
    vowels = sorted(set(vowels) - set(trailing))
    leading = sorted(set(after_leading) - set(vowels) - set(HANGUL))
    return extend, prepend, control, left, consonant, linker, link_extend, leading, vowels, trailing


def write_decompositions(name, table):
    pool, index = [], []
    for c, parts in sorted(table.items()):
        if len(parts) == 1:
            index.append(f"{{{c:#x}, {parts[0]:#x}, 1}}")
        else:
            index.append(f"{{{c:#x}, {len(pool)}, {len(parts)}}}")
            pool += parts
    write_table("Decomposition", name, index)
    write_table("char32_t", name + "Parts", [f"{c:#x}" for c in pool])


def main():
    canonical, compatible = probe_decompositions()
    compositions = probe_compositions(canonical)
    classes = probe_combining_classes([c for c in CODE_POINTS if c not in canonical and c not in HANGUL])
    for c, parts in canonical.items():  # marks that decompose themselves never stand in decomposed text
        assert all(p not in canonical for p in parts), hex(c)
    letters, numbers, spaces = probe_byte_level()
    clusters = probe_clusters()
    names = ["kLetters", "kNumbers", "kPatternSpaces", "kNumeric", "kCombiningMarks", "kClusterExtend", "kClusterPrepend",
             "kClusterControl", "kPictographs", "kConjunctConsonants", "kConjunctLinkers", "kConjunctExtend",
             "kHangulLeading", "kHangulVowels", "kHangulTrailing"]  # fmt: skip
    tables = [letters, numbers, spaces, probe_numeric(), probe_marks(), *clusters]

    print(f"// Generated by tools/make_unicode_forms.py from tokenizers {tokenizers.__version__}. Do not edit.")
    print("// clang-format off")
    print('#include "unicode_forms.h"\n\nnamespace nearlite::unicode {\nnamespace {\n')
    for name, table in zip(names, tables, strict=True):
        write_ranges(name, table)
    write_table("MarkRange", "kMarkClasses", [f"{{{a:#x}, {b:#x}, {k}}}" for a, b, k in ranges(classes, classes.get)])
    write_decompositions("kCanonical", canonical)
    write_decompositions("kCompatible", compatible)
    write_table("Composition", "kCompositions", [f"{{{a:#x}, {b:#x}, {c:#x}}}" for (a, b), c in sorted(compositions.items())])
    print("}  // namespace\n")
    for kind, name in [("CodePointRange", n) for n in names] + [
        ("MarkRange", "kMarkClasses"), ("Decomposition", "kCanonical"), ("char32_t", "kCanonicalParts"),
        ("Decomposition", "kCompatible"), ("char32_t", "kCompatibleParts"), ("Composition", "kCompositions")]:  # fmt: skip
        print(f"const std::span<const {kind}> {name}{{{name}Items}};")
    print("\n}  // namespace nearlite::unicode")


if __name__ == "__main__":
    sys.exit(main())
