#!/bin/sh
# Makes a Debian bookworm root as a tar with mmdebstrap, from this machine's own package sources. Made once.
#   debian-root.sh FILE
set -eu
[ -s "$1" ] && exit 0
command -v mmdebstrap >/dev/null || { echo 'error: mmdebstrap is missing; run: sudo apt-get install mmdebstrap' >&2; exit 1; }
mkdir -p "$(dirname "$1")"
settings=$(mktemp)
trap 'rm -f "$settings" "$1.new.tar"' EXIT
cat /etc/apt/apt.conf.d/99* >"$settings" 2>/dev/null || true
set -- "$1" /etc/apt/sources.list.d/debian.sources
[ -f "$2" ] || set -- "$1" /etc/apt/sources.list
SOURCE_DATE_EPOCH=0 mmdebstrap --quiet --variant=minbase --aptopt="$settings" bookworm "$1.new.tar" "$2"
mv "$1.new.tar" "$1"
