#!/usr/bin/env bash
# The units are understood by systemd, and the service is shut in as docs/guides/operate.md says.   usage: systemd_units.sh PROGRAM
set -euo pipefail
units=$(cd "$(dirname "$0")/../packaging/systemd" && pwd)
command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for unit in "$units"/*; do
  sed "s|/usr/local/bin/nearlite|$1|; s|^User=.*|User=daemon|; s|^Group=.*|Group=daemon|" "$unit" >"$work/$(basename "$unit")"
done
said=$(systemd-analyze verify --man=no "$work"/nearlite* 2>&1 | grep -F "$work" || true)
[ -z "$said" ] || { echo "$said"; exit 1; }
for service in nearlite nearlite-backfill; do
  exposure=$(systemd-analyze security --offline=true --no-pager "$work/$service.service" | sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\).*/\1/p')
  echo "$service.service: exposure $exposure"
  awk -v x="$exposure" 'BEGIN {exit !(x != "" && x <= 2.0)}' || { echo "$service.service is open further than 2.0"; exit 1; }
done
