// What came into the language after the versions of the peers that Debian has: the reference alone says what is right.
import { longAgo, lines, type Case } from '../case.ts'

const parents = { 'a/b/f': 'f', 'a/b/g.txt': 'g', 'a/c/h.txt': 'h', 'x/y': { directory: true, mode: 0o700 }, 'x/y/z': 'z' } as const

export const later: readonly Case[] = [
  {
    name: 'heredoc for COPY',
    dockerfile: lines('FROM scratch', 'ENV who=world', 'COPY <<EOF /etc/greeting', 'hello $who', '  "quoted" \\$who', 'EOF'),
    expect: { tree: { '/etc/greeting': { content: 'hello world\n  "quoted" $who\n', mode: 0o644, owner: '0:0' } } },
  },
  {
    name: 'heredoc for COPY that is quoted',
    dockerfile: lines('FROM scratch', 'ENV who=world', "COPY <<'EOF' /f", 'hello $who', 'EOF'),
    expect: { tree: { '/f': 'hello $who\n' } },
  },
  {
    name: 'heredoc for COPY, two and a file',
    dockerfile: lines('FROM scratch', 'COPY --chmod=600 --chown=1:2 <<one plain <<-two /d/', '1', 'one', '\ttabs', '\ttwo'),
    files: { plain: 'p' },
    expect: {
      tree: {
        '/d/one': { content: '1\n', mode: 0o600, owner: '1:2' },
        '/d/two': { content: 'tabs\n', mode: 0o600, owner: '1:2' },
        '/d/plain': { content: 'p', mode: 0o600, owner: '1:2', mtime: longAgo },
      },
    },
  },
  {
    name: 'heredoc for RUN',
    dockerfile: lines('FROM busybox', 'RUN <<EOF', 'set -e', 'x=1', '# not a comment of the Dockerfile', 'echo "$x \\$x" > /out', 'EOF'),
    expect: { tree: { '/out': '1 $x\n' } },
  },
  {
    name: 'heredoc for RUN with a shebang',
    dockerfile: lines('FROM busybox', 'RUN <<EOF', '#!/bin/ash -e', 'echo "$0" > /out', 'EOF'),
    expect: { tree: { '/out': '/dev/pipes/EOF\n', '/dev/pipes': null } },
  },
  {
    name: 'heredoc for RUN with words beside it',
    dockerfile: lines('FROM busybox', 'ENV v=env', "RUN cat <<A > /one; cat <<'B' > /two", 'a $v', 'A', 'b $v', 'B'),
    expect: { tree: { '/one': 'a env\n', '/two': 'b $v\n' } },
  },
  {
    name: 'heredoc in ONBUILD',
    dockerfile: lines('FROM busybox AS one', 'ONBUILD RUN <<EOF', 'echo triggered > /out', 'EOF', 'FROM one', 'LABEL a=1'),
    expect: { tree: { '/out': 'triggered\n' } },
  },
  {
    name: 'copy with a symbolic mode',
    dockerfile: lines('FROM scratch', 'COPY --chmod=u=rwX,go=rX d /d', 'COPY --chmod=go-r,a+x d/f /g'),
    files: { 'd/f': { content: 'f', mode: 0o600 }, 'd/x': { content: 'x', mode: 0o700 }, d: { directory: true, mode: 0o700 } },
    expect: {
      tree: {
        '/d': { mode: 0o755 },
        '/d/f': { mode: 0o644 },
        '/d/x': { mode: 0o755 },
        '/g': { mode: 0o711 },
      },
    },
  },
  {
    name: 'copy with parents',
    dockerfile: lines('FROM scratch', 'COPY --parents a/b/f x /d/'),
    files: parents,
    expect: { tree: { '/d/a/b/f': 'f', '/d/a/b/g.txt': null, '/d/x/y': { type: 'directory', mode: 0o700 }, '/d/x/y/z': 'z' } },
  },
  {
    name: 'copy with parents from a pivot',
    dockerfile: lines('FROM scratch', 'COPY --parents a/./b/f ./x/./y /d/'),
    files: parents,
    expect: { tree: { '/d/b/f': 'f', '/d/a': null, '/d/y/z': 'z' } },
  },
  {
    name: 'copy with parents and two stars',
    dockerfile: lines('FROM scratch', 'COPY --parents **/*.txt /d/'),
    files: parents,
    expect: { tree: { '/d/a/b/g.txt': 'g', '/d/a/c/h.txt': 'h', '/d/a/b/f': null, '/d/x': null } },
  },
  {
    name: 'copy with an exclusion',
    dockerfile: lines('FROM scratch', 'COPY --exclude=*.txt --exclude=x . /d/'),
    files: { 'a.txt': 'a', b: 'b', 'x/y': 'y', 'k/c.txt': 'c' },
    expect: { tree: { '/d/a.txt': null, '/d/b': 'b', '/d/x': null, '/d/k/c.txt': 'c' } },
  },
  {
    name: 'copy with an exclusion at any depth and back',
    dockerfile: lines('FROM scratch', 'COPY --exclude=**/*.txt --exclude=!k/c.txt . /d/'),
    files: { 'a.txt': 'a', 'k/c.txt': 'c', 'k/d.txt': 'd' },
    expect: { tree: { '/d/a.txt': null, '/d/k/c.txt': 'c', '/d/k/d.txt': null } },
  },
  {
    name: 'copy with a link layer',
    dockerfile: lines('FROM busybox', 'COPY --link a /srv/x/', 'COPY --link --chown=5:6 a /y'),
    files: { a: 'a' },
    expect: { tree: { '/srv/x/a': { content: 'a', owner: '0:0', mtime: longAgo }, '/y': { content: 'a', owner: '5:6' } } },
  },
  {
    name: 'add with unpack switched off',
    dockerfile: lines('FROM scratch', 'ADD --unpack=false archive /x/'),
    files: { archive: { tar: { a: 'a' } } },
    expect: { tree: { '/x/archive': { type: 'file' }, '/x/a': null } },
  },
  {
    name: 'context by another name',
    dockerfile: lines('FROM scratch', 'COPY --from=more f /f', 'COPY a /a'),
    files: { a: 'a' },
    contexts: { more: { f: 'more', g: 'ignored' } },
    expect: { tree: { '/f': 'more', '/a': 'a' } },
  },
  {
    name: 'context in place of a stage',
    dockerfile: lines('FROM busybox AS one', 'RUN exit 1', 'FROM scratch', 'COPY --from=one /f /f'),
    contexts: { one: { f: 'instead' } },
    expect: { tree: { '/f': 'instead' } },
  },
  {
    name: 'run with a secret in its environment',
    dockerfile: lines(
      'FROM busybox',
      'RUN --mount=type=secret,id=s,env=TOKEN test "$TOKEN" = hush && ls /run/secrets 2>/dev/null > /seen; true',
    ),
    secrets: { s: 'hush' },
    expect: { tree: { '/seen': '', '/run': null } },
  },
  {
    name: 'start interval of a healthcheck',
    dockerfile: lines('FROM scratch', 'HEALTHCHECK --start-interval=2s CMD a'),
    expect: { config: { Healthcheck: { Test: ['CMD-SHELL', 'a'], StartInterval: 2_000_000_000 } } },
  },
]
