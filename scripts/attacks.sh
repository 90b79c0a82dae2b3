#!/bin/sh
# Every test that attacks, with many tries at each race: STAVE_ATTACK_TRIES, 2000 unless told. It takes about an hour.
# The same tests are part of the whole suite, with few tries. What each of them shows is in docs/threats.md.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh --peers
STAVE_ATTACK_TRIES="${STAVE_ATTACK_TRIES:-2000}"
export STAVE_ATTACK_TRIES
failed=0
(cd runner-native && cargo test --locked --no-fail-fast --test hostile --test fuzz) || failed=1
# shellcheck disable=SC2046 # no name of a test file has a blank
sh scripts/node.sh node_modules/vitest/vitest.mjs run $(grep -o '`[a-z-]*/[^` ]*\.test\.ts`' docs/threats.md | tr -d '`' | sort -u) || failed=1
exit $failed
