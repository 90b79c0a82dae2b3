/**
 * What people get wrong in Dockerfiles and command lines of builds: each says what, on which line, why, and what to do. No
 * name of a system error or call, and no stack, is shown. Takes its time, for each is a command of its own.
 */
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('build-errors')

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
})
afterAll(() => shop[Symbol.dispose]())

/** A context with something of everything. */
function context(dockerfile: string | undefined): string {
  const directory = mkdtempSync(join(shop.directory, 'context-'))
  for (const name of ['d', 'd/busybox', 'src']) mkdirSync(join(directory, name))
  for (const [name, text] of Object.entries({ a: 'a\n', 'd/x': 'x', 'src/main.c': 'c', secret: 's', '.dockerignore': 'secret\n' }))
    writeFileSync(join(directory, name), text)
  symlinkSync('loop', join(directory, 'loop'))
  symlinkSync('/etc/passwd', join(directory, 'outside'))
  if (dockerfile !== undefined) writeFileSync(join(directory, 'Dockerfile'), `${dockerfile}\n`)
  return directory
}

const systemTalk = /\bE(?:NOENT|ACCES|PERM|EXIST|ISDIR|NOTDIR|NOTEMPTY|LOOP|INVAL|NAMETOOLONG|CONN[A-Z]+|ROFS)\b|ENOTFOUND|getaddrinfo/
const calls = /\b(?:openat2?|fstatat|mkdirat|stat|access|rename|mkdir|open_tree|move_mount|execve) failed|os error|syscall|RESOLVE_IN_ROOT/
const faults = /internal error|fault of stave|^\s+at .*:\d+:\d+\)?$/im

interface Wrong {
  readonly line?: number
  readonly says: RegExp
  readonly hint?: RegExp
  readonly flags?: readonly string[]
  readonly status?: number
}

function expectSaid(
  dockerfile: string | undefined,
  { line, says, hint, flags = [], status = 1 }: Wrong,
  ...words: readonly string[]
): void {
  const outcome = shop.stave(['build', '-q', '--retry', '0', ...flags, ...(words.length > 0 ? words : [context(dockerfile)])])
  const { stderr } = outcome
  expect(stderr).toMatch(/^error: /m)
  expect(/^error: (.*)$/m.exec(stderr)?.[1]).toMatch(says)
  for (const talk of [systemTalk, calls, faults]) expect(stderr).not.toMatch(talk)
  if (line !== undefined) expect(stderr).toMatch(new RegExp(`^  --> .*:${line}:\\d+$`, 'm'))
  if (hint !== undefined) expect(stderr).toMatch(new RegExp(`^ +hint: +.*(?:${hint.source})`, 'm'))
  expect(outcome.status).toBe(status)
}

const from = 'FROM busybox\n'

describe('a Dockerfile', () => {
  test.each<readonly [string, Wrong]>([
    ['', { line: 1, says: /no instructions/, hint: /begins with FROM/ }],
    ['RUN x', { line: 1, says: /before the first FROM/, hint: /Only ARG/ }],
    ['FROM a b', { line: 1, says: /one or three arguments/, hint: /AS NAME/ }],
    ['FROM $x', { line: 1, says: /should not be blank/, hint: /not declared/ }],
    ['FROM Foo/Bar', { line: 1, says: /lower case/, hint: /Did you mean "Foo\/bar"/ }],
    ['FROM busybox@sha256:zz', { line: 1, says: /not a digest/, hint: /64/ }],
    ['FROM --platform=lnux busybox', { line: 1, says: /invalid platform/, hint: /linux\/amd64/ }],
    ['FROM busybox AS base\nFROM bsae', { line: 2, says: /bsae/, hint: /Did you mean base\?/ }],
    ['FROM 127.0.0.1:1/x', { line: 1, says: /no connection/, hint: /Nothing listens/ }],
    ['FROM localhost/nowhere', { line: 1, says: /localhost\/nowhere/, hint: /stave images lists/ }],
    ['FROM oci:/nowhere', { line: 1, says: /no file oci-layout/, hint: /OCI layout/ }],
    ['FROM oci-archive:/nowhere', { line: 1, says: /\/nowhere.*no such file/ }],
    [`${from}RUM x`, { line: 2, says: /unknown instruction RUM/, hint: /Did you mean RUN/ }],
    [`${from}ENV A`, { line: 2, says: /two arguments/, hint: /ENV A=VALUE/ }],
    [`${from}ENV a=1 b`, { line: 2, says: /cannot find =/, hint: /NAME=VALUE/ }],
    [`${from}ENV a=\${b!c}`, { line: 2, says: /unsupported modifier/, hint: /x:-w/ }],
    [`${from}ARG`, { line: 2, says: /at least one argument/ }],
    [`${from}EXPOSE 99999`, { line: 2, says: /invalid port/, hint: /8080/ }],
    [`${from}VOLUME $x`, { line: 2, says: /empty after expansion/ }],
    [`${from}STOPSIGNAL SIGFOO`, { line: 2, says: /invalid signal/, hint: /Did you mean SIGFPE/ }],
    [`${from}HEALTHCHECK --interval=5 CMD x`, { line: 2, says: /invalid duration/, hint: /30s/ }],
    [`${from}SHELL foo`, { line: 2, says: /JSON form/, hint: /SHELL \["/ }],
    [`${from}ONBUILD ONBUILD RUN x`, { line: 2, says: /not allowed/, hint: /trigger/ }],
    ['# escape=x\nFROM busybox', { line: 1, says: /invalid escape/, hint: /default/ }],
    ['# syntax=foo/bar\nFROM busybox', { says: /frontend foo\/bar/, hint: /BUILDKIT_SYNTAX/ }],
    [`${from}COPY a`, { line: 2, says: /at least two arguments/, hint: /destination/ }],
    [`${from}COPY --form=a a b`, { line: 2, says: /unknown flag/, hint: /Did you mean --from/ }],
    [`${from}COPY --chmod=999 a b`, { line: 2, says: /invalid chmod/, hint: /octal/ }],
    [`${from}COPY --chown=nobodyhere a b`, { line: 2, says: /"nobodyhere" does not exist/, hint: /Create the user/ }],
    [`${from}COPY ["a", 1]`, { line: 2, says: /strings only/, hint: /quotes/ }],
    [`${from}COPY src/mian.c /`, { line: 2, says: /"src\/mian\.c": it is not in the build context/, hint: /Did you mean src\/main\.c\?/ }],
    [`${from}COPY secret /`, { line: 2, says: /excluded by .*line 1/, hint: /!secret/ }],
    [`${from}COPY a/x /`, { line: 2, says: /"a\/x": it is not in/ }],
    [`${from}COPY loop /`, { line: 2, says: /too many symbolic links/, hint: /circle/ }],
    [`${from}COPY [a-] /x/`, { line: 2, says: /pattern "\[a-\]" is malformed/, hint: /bracket/ }],
    [`${from}COPY a src /x`, { line: 2, says: /not a directory/ }],
    [`${from}COPY a /bin/busybox/x`, { line: 2, says: /\/bin\/busybox is not a directory/ }],
    [`${from}COPY src /bin/busybox`, { line: 2, says: /\/bin\/busybox: it is not a directory/ }],
    [`${from}COPY a /${'n'.repeat(300)}`, { line: 2, says: /file name too long/ }],
    [`${from}RUN ln -s l /l\nCOPY a /l/x`, { line: 3, says: /too many symbolic links/, hint: /circle/ }],
    [`${from}COPY <<EOF /x\nabc`, { line: 2, says: /unterminated heredoc/, hint: /EOF/ }],
    [`FROM busybox AS base\nFROM busybox\nCOPY --from=bsae /a /`, { line: 3, says: /bsae/, hint: /Did you mean base\?/ }],
    [`FROM busybox AS base\nFROM busybox\nRUN --mount=from=bsae,target=/x true`, { line: 3, says: /bsae/, hint: /Did you mean base\?/ }],
    [`FROM busybox AS base\nFROM busybox\nCOPY --from=base /nope /`, { line: 3, says: /"nope": it is not in the image busybox/ }],
    [
      `FROM busybox AS a\nRUN true\nFROM busybox\nCOPY --from=a /bim /`,
      { line: 4, says: /it is not in the stage a/, hint: /Did you mean bin\?/ },
    ],
    [`${from}COPY --from=3 /x /y`, { line: 2, says: /no stage 3/, hint: /0 to 0/ }],
    [`${from}ARG V=x\nCOPY --from=$V /x /y`, { line: 3, says: /cannot hold a variable/, hint: /FROM/ }],
    [`${from}ADD http://127.0.0.1:1/x /`, { line: 2, says: /cannot download/ }],
    [`${from}ADD http://127.0.0.1:1/x.git /`, { line: 2, says: /cannot download/ }],
    [`${from}ADD --checksum=foo http://127.0.0.1:1/x /`, { line: 2, says: /not a digest/ }],
    [`${from}WORKDIR /bin/busybox`, { line: 2, says: /\/bin\/busybox: it is not a directory/ }],
    [`${from}RUN exit 3`, { line: 2, says: /exit code 3/, hint: /stave logs/ }],
    [`${from}RUN ["nope"]`, { line: 2, says: /"nope" was not found/ }],
    [`FROM scratch\nRUN x`, { line: 2, says: /"\/bin\/sh" was not found/ }],
    [`${from}RUN ["/bin"]`, { line: 2, says: /is a directory/ }],
    [`${from}COPY a /a\nRUN ["/a"]`, { line: 3, says: /permission denied/ }],
    [`${from}USER nope\nRUN x`, { line: 3, says: /no user "nope"/, hint: /Create the user/ }],
    [`${from}RUN --network=foo true`, { line: 2, says: /invalid network mode/, hint: /default, none, host/ }],
    [`${from}RUN --security=insecure true`, { line: 2, says: /not allowed/, hint: /--allow security\.insecure/ }],
    [`${from}RUN --mount=type=bnd,target=/x true`, { line: 2, says: /mount type "bnd"/, hint: /Did you mean bind/ }],
    [`${from}RUN --mount=type=cache,tagret=/x true`, { line: 2, says: /"tagret"/, hint: /Did you mean target/ }],
    [`${from}RUN --mount=type=cache,target=/bin/busybox true`, { line: 2, says: /cannot mount a directory on "\/bin\/busybox"/ }],
    [`${from}RUN --mount=source=a,target=/bin true`, { line: 2, says: /cannot mount a file on "\/bin"/ }],
    [`${from}RUN --mount=source=a,target=/bin/busybox/x true`, { line: 2, says: /"\/bin\/busybox\/x": not a directory/ }],
    [`${from}RUN --mount=source=nope,target=/x true`, { line: 2, says: /"nope": it is not in the build context/ }],
    [`${from}RUN --mount=type=secret,id=t,required true`, { line: 2, says: /secret "t"/, hint: /--secret id=t/ }],
    [`${from}RUN --mount=type=ssh,required true`, { line: 2, says: /SSH agent/, hint: /--ssh default/ }],
  ])('%j', (dockerfile, wrong) => {
    expectSaid(dockerfile, wrong)
  })
})

describe('a command line', () => {
  test.each<readonly [readonly string[], Wrong]>([
    [['--target', 'bsae'], { line: 1, says: /no stage called "bsae"/, hint: /Did you mean base\?/ }],
    [['-f', 'nope'], { says: /cannot read nope: there is no such file/, hint: /-f/ }],
    [['-f', '/usr'], { says: /\/usr: it is a directory/ }],
    [['-f', 'outside'], { says: /leads out of the build context/, hint: /-f/ }],
    [['--ignorefile', '/nowhere'], { says: /\/nowhere: there is no such file/, hint: /--ignorefile/ }],
    [['-t', 'Foo'], { says: /lower case/, hint: /Did you mean "foo"/ }],
    [['--build-arg', '=x'], { says: /K=V/, status: 2 }],
    [['--secret', 'foo'], { says: /id=ID/, status: 2 }],
    [['--secret', 'id=s,src=/nowhere'], { says: /secret "s" from \/nowhere/ }],
    [['--ssh', 'default=/nowhere'], { says: /cannot use \/nowhere/ }],
    [['-o', 'type=foo'], { says: /type=foo/, hint: /image, registry/, status: 2 }],
    [['-o', 'type=local,dest=/etc/passwd'], { says: /\/etc\/passwd: it is not a directory/, hint: /makes a directory/ }],
    [['-o', 'type=tar,dest=/usr'], { says: /\/usr: it is a directory/, hint: /makes a file/ }],
    [['-o', 'type=oci,tar=false,dest=/etc/passwd'], { says: /\/etc\/passwd: it is not a directory/ }],
    [['-o', 'type=local,dest=/proc/x'], { says: /cannot make the directory \/proc\/x/, hint: /on a disk/ }],
    [['-o', 'type=tar,dest=/proc/x/y.tar'], { says: /cannot make the directory \/proc\/x/, hint: /on a disk/ }],
    [['--cache-to', 'type=local,dest=/proc/x'], { says: /\/proc\/x/ }],
    [['--cache-to', 'type=registry,ref=127.0.0.1:1/x'], { says: /no connection/, hint: /Nothing listens/ }],
    [['--build-context', 'base=/nowhere'], { says: /cannot open the context base \/nowhere/ }],
    [['--platform', 'a/b/c/d'], { says: /as a platform/, hint: /linux\/amd64/, status: 2 }],
    [['--until', 'zzz'], { says: /cannot stop at "zzz"/, status: 2 }],
    [['-v', '/nowhere:/x'], { says: /\/nowhere: there is no such file/, hint: /--volume/ }],
    [['--logfile', '/nowhere/x'], { says: /cannot write \/nowhere\/x/ }],
  ])('%j', (flags, wrong) => {
    expectSaid('FROM busybox AS base\nRUN true', { ...wrong, flags })
  })
  test('a context that is not there', () => {
    expectSaid(undefined, { says: /cannot open the build context \/nowhere/ }, '/nowhere')
  })
  test('a context without a Dockerfile', () => {
    expectSaid(undefined, { says: /Dockerfile: there is no such file/, hint: /-f/ })
  })
})
