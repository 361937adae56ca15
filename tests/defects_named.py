"""Every test that tests/defects.md names exists, and every one of the 50 faults has its line."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def cpp_tests():
    found = set()
    for file in ROOT.glob("src/**/*_test.cpp"):
        for suite, name in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", file.read_text(), re.M):
            found.add(f"{suite}.{name}")
    return found


def program_tests():
    found = set()
    for file in (ROOT / "tests/cli").glob("test_*.py"):
        suite = None
        for line in file.read_text().splitlines():
            if match := re.match(r"class (\w+)", line):
                suite = match[1]
            elif match := re.match(r"    def (test_\w+)", line):
                found.add(f"{file.name} {suite}.{match[1]}")
    return found


def main():
    known = cpp_tests() | program_tests()
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", (ROOT / "tests/defects.md").read_text(), re.M)
    wrong = [] if [int(number) for number, _ in rows] == list(range(1, 51)) else ["the lines are not 1 to 50"]
    for number, text in rows:
        named = re.findall(r"`([A-Z]\w+\.[A-Z]\w+|test_\w+\.py \w+\.test_\w+)`", text)
        if not named and "cannot occur" not in text and int(number) != 50:
            wrong.append(f"line {number} names no test")
        wrong += [f"line {number} names {name}, which there is not" for name in named if name not in known]
    print("\n".join(wrong) or f"{len(rows)} lines, every test named is there")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
