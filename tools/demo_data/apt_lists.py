"""Reads what apt knows of all packages: one dictionary per package, with its long English description.

Lists are fetched into a folder of our own, so that neither root nor a change of the machine is needed.
"""

import os
import pathlib
import subprocess
import sys


def update(folder: pathlib.Path) -> None:
    """Runs `apt-get update` for the sources of this machine into `folder`; keeps old lists when the network is away."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "-q", *options(folder), "update"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode and not any(list_files(folder, "Packages")):
        sys.exit(f"the package lists could not be fetched:\n{result.stderr.strip()}")


def options(folder: pathlib.Path) -> list[str]:
    user = "root" if os.getuid() == 0 else ""
    return ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache", "-o", f"APT::Sandbox::User={user}",
            "-o", "Acquire::Languages=en", "-o", "Debug::NoLocking=1"]


def list_files(folder: pathlib.Path, kind: str) -> list[pathlib.Path]:
    """Files of package lists ("Packages") or translations ("Translation-en"), compressed or not."""
    return sorted(file for file in (folder / "lists").glob(f"*_{kind}*") if file.is_file())


def paragraphs(file: pathlib.Path):
    """The paragraphs of a list as dictionaries; continued lines keep their leading blank."""
    text = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(file)], capture_output=True, check=True).stdout
    for block in text.decode("utf-8", "replace").split("\n\n"):
        fields, last = {}, None
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                if last:
                    fields[last] += "\n" + line
            elif ":" in line:
                last, _, value = line.partition(":")
                fields[last] = value.strip()
        if fields:
            yield fields


def prose(text: str) -> str:
    """A long description as apt stores it -> paragraphs: wrapped lines joined, "." lines are borders, lists kept."""
    lines, out = text.split("\n")[1:], [""]
    for line in lines:
        line = line[1:]
        if line == ".":
            out.append("")
        elif line.startswith((" ", "\t")):
            out += [line.strip(), ""]  # a list or other text that is not to be wrapped
        else:
            out[-1] = f"{out[-1]} {line}".strip()
    return "\n".join(part for part in out if part)


def packages(folder: pathlib.Path):
    """Every package once (its newest list wins by order), sorted by name: the fields of its list, plus `long`."""
    long_texts = {}
    for file in list_files(folder, "Translation-en"):
        for fields in paragraphs(file):
            if "Description-en" in fields:
                long_texts[fields["Package"], fields["Description-md5"]] = prose(fields["Description-en"])
    found = {}
    for file in list_files(folder, "Packages"):
        for fields in paragraphs(file):
            fields["summary"] = fields["Description"].split("\n")[0]
            fields["long"] = long_texts.get((fields["Package"], fields.get("Description-md5", "")), "")
            found.setdefault(fields["Package"], fields)
    return [found[name] for name in sorted(found)]
