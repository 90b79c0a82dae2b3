#!/bin/sh
# Brings a checkout to where stave runs: npm packages (with a fitting Node), the Rust program, the bundle.
#   setup.sh [--force] [--peers]     --peers: also Debian's packages that the tests compare with
# What is up to date is left alone: then this takes a fraction of a second.
set -eu
cd "$(dirname "$0")/.."
force= peers=
for word; do
  case $word in --force) force=1 ;; --peers) peers=1 ;; *) echo "setup.sh: unknown word $word" >&2; exit 2 ;; esac
done
mkdir -p .setup dist

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'error: %s\n  hint:  %s\n' "$1" "$2" >&2; exit 1; }

# Installs Debian packages if root can, else says how.
debian() {
  missing=
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
  done
  [ -z "$missing" ] && return 0
  command -v apt-get >/dev/null || fail "these programs are missing:$missing" "Install them with your system's package manager."
  [ "$(id -u)" = 0 ] || fail "Debian packages are missing:$missing" "Run: sudo apt-get install --no-install-recommends$missing"
  say "installing$missing"
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing) >.setup/apt.log 2>&1 ||
    fail "apt-get could not install$missing" "Its output is in .setup/apt.log."
}

# npm packages
if [ -n "$force" ] || ! cmp -s package-lock.json .setup/package-lock.json || [ ! -d node_modules/undici ]; then
  command -v npm >/dev/null || fail 'npm is missing' 'Run: apt-get install npm'
  say 'installing npm packages'
  # Not npm ci: it demands that the lock file lists the binaries of every platform, and those that a registry
  # does not have are left out of it. What the lock file lists is installed exactly so.
  # No package that is used here needs a script of its own to be installed.
  npm install --ignore-scripts --no-save --no-audit --no-fund --loglevel=error >.setup/npm.log 2>&1 || { cat .setup/npm.log >&2; fail 'npm install failed' 'Its output is above.'; }
  # The Node that was just installed needs one library that not every system has.
  if ! sh scripts/node.sh --version >.setup/node.log 2>&1; then
    grep -q libatomic .setup/node.log || { cat .setup/node.log >&2; fail 'the Node that npm has installed does not start' 'What it said is above.'; }
    debian libatomic1
  fi
  cp package-lock.json .setup/package-lock.json
fi

# the Rust program
# By content and not by time: a checkout of another commit can make files older.
sum() { find "$@" -type f | LC_ALL=C sort | xargs cksum | cksum; }
native=$(sum runner-native/src runner-native/Cargo.toml runner-native/Cargo.lock runner-native/.cargo)
if [ -n "$force" ] || [ ! -x dist/stave-runner ] || [ "$native" != "$(cat .setup/native 2>/dev/null)" ]; then
  command -v cargo >/dev/null || fail 'cargo is missing' 'Install Rust 1.85 or newer: https://rustup.rs'
  command -v cc >/dev/null || debian gcc libc6-dev
  say 'building the native program'
  (cd runner-native && cargo build --release --locked >../.setup/cargo.log 2>&1) || { tail -n 40 .setup/cargo.log >&2; fail 'cargo build failed' 'Rust 1.85 or newer is needed. The whole output is in .setup/cargo.log.'; }
  host=$(rustc -vV | sed -n 's/^host: //p')
  cp "runner-native/target/$host/release/stave-runner" dist/.stave-runner.new
  mv dist/.stave-runner.new dist/stave-runner
  # Under this name it is an OCI runtime.
  ln -sf stave-runner dist/stave-runtime
  echo "$native" >.setup/native
fi

# the bundle
sources=$(sum src scripts/bundle.ts package.json)
if [ -n "$force" ] || [ ! -f dist/main.js ] || [ ! -f .setup/bundle.json ] || [ "$sources" != "$(cat .setup/sources 2>/dev/null)" ]; then
  say 'bundling'
  sh scripts/node.sh scripts/bundle.ts
  echo "$sources" >.setup/sources
fi

if [ -n "$peers" ]; then
  debian buildah podman skopeo umoci runc crun docker-registry mmdebstrap busybox-static uidmap strace gcc libc6-dev git xz-utils bzip2 zstd
fi
