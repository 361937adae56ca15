"""Fills the six databases with real records of this machine, as a foreign program would: with plain SQL.

usage: make_demo_stores.py APT-FOLDER DATA-FOLDER     (the empty databases are made by `nearlite store create --all`)

bots          daemons that this machine can install: purpose, tags and implementation from the package lists
workflows     what installing and removing packages does (their scripts), systemd units, and the installer's tasks
errors        error numbers of the kernel and result codes of SQLite, explained in errors.tsv
enhancements  entries of the changelogs of installed packages
info          articles: the documentation packages there are, with what they explain
information   facts: manual pages with their one-line summaries, time zones
Running it again adds nothing twice.
"""

import csv
import datetime
import errno
import gzip
import hashlib
import itertools
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import time

import apt_lists

SOURCE = "demo"  # source_menace_id: which installation a record comes from


def content_hash(fields: dict) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def timestamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")


def insert(db: sqlite3.Connection, table: str, row: dict, hashed: tuple[str, ...] = ()) -> None:
    if hashed:
        row["content_hash"] = content_hash({name: row.get(name) for name in hashed})
    columns = ", ".join(row)
    db.execute(f"INSERT OR IGNORE INTO {table}({columns}) VALUES({', '.join('?' * len(row))})", list(row.values()))


def tags_of(package: dict) -> dict[str, list[str]]:
    """Debian's tags by facet: {"interface": ["daemon"], "implemented-in": ["c"], ...}"""
    facets: dict[str, list[str]] = {}
    for tag in re.findall(r"[^\s,]+", package.get("Tag", "")):
        facet, _, value = tag.partition("::")
        facets.setdefault(facet, []).append(value)
    return facets


def text_of(file: pathlib.Path, limit: int = 200_000) -> str:
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rb") as stream:
            return stream.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


# ------------------------------------------------------------------------------------------------------------ bots

def fill_bots(db: sqlite3.Connection, packages: list[dict]) -> None:
    for package in packages:
        tags = tags_of(package)
        if "daemon" not in tags.get("interface", []):
            continue
        depends = re.findall(r"(?:^|, )([a-z0-9][a-z0-9+.-]+)", package.get("Depends", ""))
        topics = [value.replace("-", " ") for facet in ("use", "works-with", "admin", "network", "protocol", "mail", "web")
                  for value in tags.get(facet, []) if value not in ("TODO", "server", "service")]
        insert(db, "bots", {
            "name": package["Package"], "type": "daemon", "tasks": json.dumps(tags.get("use", [])),
            "dependencies": json.dumps(depends[:20]), "resources": json.dumps({"installed_kb": package.get("Installed-Size")}),
            "hierarchy_level": package.get("Section", ""), "purpose": f"{package['summary']}. {package['long']}".strip(),
            "tags": json.dumps(topics), "toolchain": json.dumps(tags.get("implemented-in", [])),
            "creation_date": timestamp(time.time()), "last_modification_date": timestamp(time.time()), "status": "active",
            "version": package["Version"], "estimated_profit": 0.0, "source_menace_id": SOURCE,
        }, ("dependencies", "name", "resources", "tasks", "type"))


# ------------------------------------------------------------------------------------------------------- workflows

STEPS = re.compile(r"^\s*((?:update-|dpkg-|deb-systemd-|invoke-rc|add|ch|ld|ln |rm |mv |cp |mkdir|install |systemctl|systemd-|"
                   r"ucf|py3|glib-|gtk-|fc-|mktexlsr|a2en|db_|py[a-z]*clean|depmod)[^\n;|&]*)", re.M)


def script_steps(script: str) -> list[str]:
    steps = []
    for step in STEPS.findall(script):
        step = " ".join(step.replace("\\", " ").split())[:120]
        if step not in steps:
            steps.append(step)
    return steps[:12]


def add_workflow(db: sqlite3.Connection, title: str, description: str, steps: list[str], tags: list[str], category: str,
                 kind: str) -> None:
    insert(db, "workflows", {
        "workflow": ",".join(step.replace(",", " ") for step in steps),
        "task_sequence": ",".join(step.replace(",", " ") for step in steps),
        "title": title, "description": description, "tags": ",".join(tags), "category": category, "type": kind,
        "status": "active", "timestamp": timestamp(time.time()), "source_menace_id": SOURCE,
        "action_chains": "", "argument_strings": "",
    }, ("action_chains", "argument_strings", "description", "workflow"))


MOMENTS = {"preinst": "before installing", "postinst": "after installing", "prerm": "before removing", "postrm": "after removing"}


def fill_workflows(db: sqlite3.Connection, packages: list[dict]) -> None:
    by_name = {package["Package"]: package for package in packages}
    for file in sorted(pathlib.Path("/var/lib/dpkg/info").glob("*.p*")):
        moment = file.suffix[1:]
        name = file.stem.split(":")[0]
        steps = script_steps(text_of(file)) if moment in MOMENTS else []
        if steps and name in by_name:
            add_workflow(db, f"{MOMENTS[moment]} {name}", f"{MOMENTS[moment]} {name}: {by_name[name]['summary']}", steps,
                         [moment, "package"], by_name[name].get("Section", ""), "maintainer script")
    for folder in ("/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system"):
        for file in sorted(pathlib.Path(folder).glob("*.*")) if os.path.isdir(folder) else []:
            if file.suffix not in (".service", ".timer", ".socket", ".mount") or file.is_symlink():
                continue
            keys = re.findall(r"^(\w+)=(.+)$", text_of(file), re.M)
            description = " ".join(value for key, value in keys if key == "Description")
            steps = [f"{key}={value}"[:160] for key, value in keys if key.startswith(("Exec", "On", "Listen", "After", "Wants"))]
            if description and steps:
                add_workflow(db, file.name, description, steps, ["systemd", file.suffix[1:]], "admin", "systemd unit")
    for package in packages:  # what the Debian installer offers: a task installs these packages in turn
        if package.get("Section") == "tasks":
            steps = [f"install {name.strip().split(' ')[0]}" for field in ("Depends", "Recommends")
                     for name in package.get(field, "").split(",") if name.strip() and "tasksel" not in name]
            add_workflow(db, package["summary"], package["long"] or package["summary"], steps[:15], ["task", "installer"],
                         "tasks", "installation task")


# ---------------------------------------------------------------------------------------------------------- errors

def fill_errors(db: sqlite3.Connection) -> None:
    table = pathlib.Path(__file__).with_name("errors.tsv")
    rows = [row for row in csv.reader(table.open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE)
            if row and not row[0].startswith("#")]
    for name, meaning, remedy in rows:
        sqlite = name.startswith("SQLITE_")
        insert(db, "errors", {
            "message": f"{name}: {meaning}", "type": "sqlite result code" if sqlite else "errno", "description": meaning,
            "resolution": remedy, "ts": timestamp(time.time()), "category": "database" if sqlite else "operating system",
            "cause": meaning, "frequency": 0, "source_menace_id": SOURCE,
        }, ("description", "resolution", "type"))
        if hasattr(errno, name):  # as programs print them
            insert(db, "known_errors", {"message": f"{os.strerror(getattr(errno, name))} ({name})", "solution": remedy})


# ---------------------------------------------------------------------------------------------------- enhancements

ENTRY = re.compile(r"^(\S+) \(([^)]+)\) [^\n]*\n(.*?)\n -- ([^\n]*?)  ([^\n]+)$", re.M | re.S)


def changelogs(lists: pathlib.Path) -> list[pathlib.Path]:
    """Those of installed packages. Small containers leave them out: then those inside the packages themselves."""
    files = sorted(pathlib.Path("/usr/share/doc").glob("*/changelog.Debian*"))
    if len(files) >= 50:
        return files
    folder = lists.absolute() / "changelogs"
    if not folder.exists():
        installed = subprocess.run(["dpkg-query", "--show", "--showformat=${Package}\n"], capture_output=True, text=True, check=True)
        (folder / "packages").mkdir(parents=True)
        subprocess.run(["apt-get", "-q", *apt_lists.options(lists.absolute()), "download", *installed.stdout.split()[:150]],
                       cwd=folder / "packages", capture_output=True)
        for package in folder.glob("packages/*.deb"):
            subprocess.run(f'dpkg-deb --fsys-tarfile "{package}" | tar -x -C "{folder}" --wildcards "./usr/share/doc/*/changelog.Debian*"',
                           shell=True, capture_output=True)
            package.unlink()
    return sorted(folder.glob("usr/share/doc/*/changelog.Debian*"))


def fill_enhancements(db: sqlite3.Connection, lists: pathlib.Path, limit: int = 800) -> None:
    """The newest entries of each changelog, one record per bullet that says something."""
    for file in changelogs(lists):
        for name, version, changes, author, date in ENTRY.findall(text_of(file))[:2]:
            for bullet in re.split(r"^  \* ", changes, flags=re.M)[1:]:
                idea = " ".join(bullet.split())
                if len(idea) < 40 or limit <= 0:
                    continue
                security = "CVE-" in idea
                limit -= 1
                insert(db, "enhancements", {
                    "idea": idea, "rationale": f"change in {name} {version}", "summary": f"{name}: {idea}", "score": 0.0,
                    "confidence": 0.0, "outcome_score": 0.0, "timestamp": date, "context": f"{name} {version}",
                    "before_code": "", "after_code": "", "title": f"{name} {version}", "description": idea,
                    "tags": "security" if security else "", "type": "security fix" if security else "change",
                    "category": "package", "triggered_by": author, "source_menace_id": SOURCE,
                }, ("after_code", "before_code", "description", "idea", "rationale"))


# --------------------------------------------------------------------------------------------- research items, facts

def fill_info(db: sqlite3.Connection, packages: list[dict], limit: int = 600) -> None:
    if db.execute("SELECT count(*) FROM info").fetchone()[0]:
        return
    documents = [p for p in packages if p.get("Section", "").endswith("doc") and len(p["long"]) > 120]
    documents.sort(key=lambda p: hashlib.sha256(p["Package"].encode()).digest())
    for package in documents[:limit]:
        topics = [value.replace("-", " ") for values in tags_of(package).values() for value in values]
        row = {"title": package["summary"], "summary": package["long"].split("\n")[0], "tags": ",".join(topics[:8]),
               "category": "documentation", "type": "text", "content": package["long"],
               "data_depth": min(len(package["long"]) / 500, 1.0), "source_url": package.get("Homepage", ""),
               "timestamp": time.time(), "energy": 1, "corroboration_count": 0}
        insert(db, "info", row)
        rowid = db.execute("SELECT last_insert_rowid()").fetchone()[0]
        db.execute("INSERT INTO info_fts(rowid, title, tags, content) VALUES(?, ?, ?, ?)",
                   (rowid, row["title"], row["tags"], row["content"]))


def manual_pages():
    """(name, section, summary) of the manual pages of this machine: commands with short names first, then files, then calls."""
    def order(file: pathlib.Path) -> tuple:
        return len(file.name.split(".")[0]) > 12, file.parent.name not in ("man1", "man5", "man8"), \
            hashlib.sha256(file.name.encode()).digest()

    for file in sorted(pathlib.Path("/usr/share/man").glob("man[1-8]/*"), key=order):
        name = file.name.removesuffix(".gz").rpartition(".")[0]
        heading = re.search(r'\.S[Hh] *"?NAME"?\s*\n((?:.*\n){1,4})', text_of(file, 20_000))
        words = []
        for line in heading.group(1).splitlines() if heading else []:
            if line.startswith(".Nd "):
                words += ["-", line[4:]]
            elif not line.startswith((".Nm", ".B ", ".BR ", '.\\"')):
                if line.startswith("."):
                    break  # another macro: the name section is over
                words.append(line)
        line = re.sub(r"\\f.|\\s-?\d|\\&", "", " ".join(words)).replace("\\-", "-").replace('"', "")
        summary = re.search(r"(?:^| )-+ (.{12,300})", line)
        if summary and "\\" not in summary.group(1):
            yield name, file.parent.name[3:], " ".join(summary.group(1).split())


def time_zones():
    for line in text_of(pathlib.Path("/usr/share/zoneinfo/zone1970.tab")).splitlines():
        parts = line.split("\t")
        if not line.startswith("#") and len(parts) >= 3:
            place = parts[2].split("/")[-1].replace("_", " ")
            yield parts[2], f"Time zone {parts[2]}, the clock of {place}" + (f": {parts[3]}" if len(parts) > 3 else "")


def fill_information(db: sqlite3.Connection, limit: int = 800) -> None:
    if db.execute("SELECT count(*) FROM information").fetchone()[0]:
        return
    facts = [("manual page", f"man:{name}({section})", f"{name}({section}): {summary}", f"{name},manual,section {section}")
             for name, section, summary in itertools.islice(manual_pages(), limit)]
    facts += [("time zone", f"zoneinfo:{name}", text, name.replace("/", ",")) for name, text in time_zones()]
    for kind, url, summary, keywords in facts:
        insert(db, "information", {
            "data_type": kind, "source_url": url, "date_collected": timestamp(time.time()), "summary": summary, "validated": 1,
            "validation_notes": "", "keywords": keywords, "data_depth_score": min(len(summary) / 100, 1.0),
            "source_menace_id": SOURCE})


def main() -> None:
    lists, data = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    packages = apt_lists.packages(lists)
    fillers = {
        "bots.db": [("bots", lambda db: fill_bots(db, packages))],
        "workflows.db": [("workflows", lambda db: fill_workflows(db, packages))],
        "errors.db": [("errors", fill_errors)],
        "enhancements.db": [("enhancements", lambda db: fill_enhancements(db, lists))],
        "information.db": [("info", lambda db: fill_info(db, packages)), ("information", fill_information)],
    }
    for name, steps in fillers.items():
        db = sqlite3.connect(data / name)
        for table, fill in steps:
            with db:
                fill(db)
            count = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            print(f"  {table:<13} {count:6,} records  {data / name}")
            if count < 100:
                sys.exit(f"only {count} records for {table}: this machine lacks what they are made of")
        db.close()


if __name__ == "__main__":
    main()
