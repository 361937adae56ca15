"""Makes a real database: every package that this machine's apt knows, with its descriptions.

usage: make_packages_db.py APT-FOLDER packages.db
Table package(id, name, section, version, homepage, summary, description); programs come first, then what they are made of,
and what many other packages mention comes before what none does: `id <= 10000` is a selection worth searching.
"""

import collections
import os
import pathlib
import re
import sqlite3
import sys

import apt_lists

# Sections of things that people use by name; everything else is parts of them.
PROGRAMS = {"admin", "comm", "database", "editors", "education", "electronics", "games", "gnome", "graphics", "hamradio",
            "httpd", "kde", "mail", "math", "misc", "net", "news", "science", "shells", "sound", "text", "utils", "vcs",
            "video", "web", "x11", "xfce"}


def mentions(packages: list[dict]) -> collections.Counter:
    """How many packages depend on, recommend or suggest a name."""
    counts = collections.Counter()
    for package in packages:
        text = ", ".join(package.get(field, "") for field in ("Depends", "Recommends", "Suggests"))
        counts.update(set(re.findall(r"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]+)", text)))
    return counts


def rank(package: dict, mentioned: collections.Counter) -> tuple:
    section = package.get("Section", "").split("/")[-1]
    name = package["Package"]
    part = section not in PROGRAMS or name.endswith(("-dev", "-doc", "-data", "-common", "-dbg", "-l10n"))
    return part, -mentioned[name], name


def main() -> None:
    lists, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    packages = apt_lists.packages(lists)
    mentioned = mentions(packages)
    packages.sort(key=lambda package: rank(package, mentioned))
    unfinished = target.with_suffix(".making")
    unfinished.unlink(missing_ok=True)
    db = sqlite3.connect(unfinished)
    db.execute("""CREATE TABLE package(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, section TEXT, version TEXT,
                  homepage TEXT, summary TEXT, description TEXT)""")
    db.executemany(
        "INSERT INTO package(name, section, version, homepage, summary, description) VALUES(?,?,?,?,?,?)",
        ((p["Package"], p.get("Section"), p["Version"], p.get("Homepage"), p["summary"], p["long"] or None)
         for p in packages))
    db.commit()
    db.close()
    os.replace(unfinished, target)
    print(f"{target}: {len(packages):,} packages, {target.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
