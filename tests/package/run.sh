#!/usr/bin/env bash
# Makes the tarball, unpacks it and runs it with an empty environment.   usage: run.sh BUILD-FOLDER
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
model=${NEARLITE_TEST_MODEL:-${XDG_CACHE_HOME:-$HOME/.cache}/nearlite/models/sentence-transformers/all-MiniLM-L6-v2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "package: $*" >&2; exit 1; }

"$source/tools/package" "$1" "$work"
tar -C "$work" -xzf "$work"/nearlite-*-linux-x86_64.tar.gz
root=$(echo "$work"/nearlite-*-linux-x86_64)
nearlite=("$(command -v env)" -i HOME="$work" "$root/bin/nearlite")

# Everything outside the C library and the C++ run time comes out of the package.
for file in "$root/bin/nearlite" "$root"/lib/*.so* "$root"/lib/nearlite/*.so*; do
  outside=$(env -i ldd "$file" | grep -v -e "=> $root/" -e 'linux-vdso\|ld-linux' \
    -e '^\s*lib\(c\|m\|dl\|pthread\|rt\|resolv\|stdc++\|gcc_s\)\.so' -e 'statically linked' || true)
  [ -z "$outside" ] || fail "$file needs libraries of this machine: $outside"
done
for file in README.md LICENSE THIRD_PARTY.md CHANGELOG.md; do
  [ -s "$root/$file" ] || fail "$file is missing"
done

"${nearlite[@]}" --version
cd "$work"
python3 - <<'PY'
import sqlite3
db = sqlite3.connect("notes.db")
db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)")
db.executemany("INSERT INTO note(body) VALUES(?)", [("Water the tomatoes every morning",),
               ("The router is reset by holding its button for ten seconds",), ("Dentist appointment on Thursday",)])
db.commit()
PY
for backend in annoy faiss; do
  cp notes.db "$backend.db"
  "${nearlite[@]}" index "$backend.db" --table note:body --model "$model" --backend "$backend" --yes --quiet
  found=$("${nearlite[@]}" search "$backend.db" "how do I restart the wireless box?" -k 1 --json)
  echo "$found" | grep -q '"key": *2' || fail "$backend found: $found"
done
rm -r "$root/lib/nearlite"
"${nearlite[@]}" index notes.db --table note:body --model "$model" --backend flat --yes --quiet ||
  fail "does not run without the FAISS plugin"
