#!/bin/sh
# What a reviewer runs: format, lint with types, types, unused code, Rust's format and lint.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
node() { sh scripts/node.sh "$@"; }
node node_modules/oxfmt/bin/oxfmt --check
node node_modules/oxlint/bin/oxlint --type-aware --deny-warnings
node node_modules/typescript/bin/tsc -p .
node node_modules/knip/bin/knip.js
node scripts/docs.ts --check
(cd runner-native && cargo fmt --check && cargo clippy --locked --all-targets -q -- -D warnings)
