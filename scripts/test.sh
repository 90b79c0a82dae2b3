#!/bin/sh
# The whole suite: set-up, checks, unit, Rust, integration, differential and registry tests.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh --peers
sh scripts/check.sh
failed=0
(cd runner-native && cargo test --locked --no-fail-fast) || failed=1
sh scripts/node.sh node_modules/vitest/vitest.mjs run --project unit --project integration --project differential --project mounted --project registry || failed=1
exit $failed
