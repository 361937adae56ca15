#!/usr/bin/env bash
# Builds and runs one of the programs beside this file, as their authors would.
# usage: run.sh fetchcontent|installed|own_sqlite BUILD-FOLDER-OF-NEARLITE
# NEARLITE_TEST_MODEL is the model's folder (default: nearlite's own cache); NEARLITE_SQLITE_SOURCE holds sqlite3.c (own_sqlite).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kind=$1 nearlite_build=$2 source=$(cd "$here/../.." && pwd)
model=${NEARLITE_TEST_MODEL:-${XDG_CACHE_HOME:-$HOME/.cache}/nearlite/models/sentence-transformers/all-MiniLM-L6-v2}
work=$nearlite_build/consumers/$kind
prefix=$nearlite_build/consumers/prefix
mkdir -p "$work"

options=()
case $kind in
  fetchcontent) options+=(-DNEARLITE_SOURCE="$source") ;;
  installed | own_sqlite)
    (
      flock 9 # both tests may run at once
      rm -rf "$prefix"
      cmake --install "$nearlite_build" --prefix "$prefix" >/dev/null
    ) 9>"$nearlite_build/consumers/lock"
    options+=(-DCMAKE_PREFIX_PATH="$prefix")
    ;;
esac
[ "$kind" != own_sqlite ] || options+=(-DSQLITE_SOURCE="${NEARLITE_SQLITE_SOURCE:?is not set: a folder with sqlite3.c}")
if command -v ccache >/dev/null; then
  options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
cmake -S "$here/$kind" -B "$work/build" -G Ninja "${options[@]}"
cmake --build "$work/build"

data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
ask() { "$@" "$model" "$data" "how do I restart the wireless box?" | tee /dev/stderr | grep -q '^note 2,'; }
ask "$work/build/notes"
case $kind in
  own_sqlite)
    wanted=$(sed -n 's/^#define SQLITE_VERSION  *"\(.*\)"/\1/p' "$NEARLITE_SQLITE_SOURCE/sqlite3.h")
    "$work/build/notes" "$model" "$data" "what should I water?" | grep -F "SQLite $wanted"
    "$work/build/two_copies"
    ;;
  fetchcontent)
    "$work/build/everything" "$data"
    cmake --install "$work/build" --prefix "$data/prefix"
    [ ! -e "$data/prefix" ] || { echo "nearlite added install rules to a program that did not ask"; exit 1; }
    ;;
  installed)
    "$work/build/everything" "$data"
    flags=$(PKG_CONFIG_PATH=$(echo "$prefix"/lib*/pkgconfig "$prefix"/lib*/*/pkgconfig | tr ' ' :) \
      pkg-config --cflags --libs nearlite)
    # shellcheck disable=SC2086  # the flags are words
    c++ "$source/examples/notes.cpp" -o "$work/notes_by_pkg_config" $flags
    ask "$work/notes_by_pkg_config"
    ;;
esac
