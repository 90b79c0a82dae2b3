/**
 * The same bundles through runc, crun and stave-runtime: what a process sees inside is the same, or the difference is
 * explained here.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ociRuntimes, runBundle } from '../oci-runtimes.ts'
import { busyboxTar, type Outcome } from '../stave.ts'
import { cases, plain, type Case } from './oci-cases.ts'

/** Of these versions the differences are known. */
const known: Readonly<Record<string, RegExp>> = { runc: /^runc version 1\.1\./, crun: /^crun version 1\.8\./ }

interface Explanation {
  /** Absent: of all. */
  readonly of?: 'runc' | 'crun'
  /** Where: the section, and a line of either side. */
  readonly section: RegExp
  readonly line: RegExp
  readonly cases?: RegExp
  readonly why: string
}

const explanations: readonly Explanation[] = [
  {
    section: /cgroup/,
    line: /\/(ID|stave-inner)$/,
    cases: /bounding alone/,
    why: 'One that may mount lies in a group within that which limits it, so that it cannot change its limits.',
  },
  {
    section: /mountinfo/,
    line: /\/(proc\/acpi|sys\/firmware|etc) ro/,
    why: 'What hides a directory is memory without room, of which programs, set-user-ID bits and devices do not work either.',
  },
  {
    section: /place/,
    line: /\/etc$/,
    cases: /other masks/,
    why: 'The same: it is read-only, whatever its mode.',
  },
  {
    of: 'runc',
    section: /mountinfo/,
    line: /^\/null \/proc\/(keys|timer_list) /,
    why: 'What hides a file is the null device of the machine: runc takes that of the container, which the container can change.',
  },
  {
    of: 'crun',
    section: /mountinfo/,
    line: /^\/null \/proc\/(keys|timer_list) r[ow],/,
    why: 'crun makes the mount read-only. A device is written to in any case.',
  },
  {
    section: /mountinfo|place/,
    line: /\/w( |$)/,
    cases: /memory|times|mounts on mounts/,
    why: 'Memory has the mode that is asked for, else that of what it lies on, from the start (runc 1.2 does so too); read-only it is as a file system.',
  },
  { of: 'runc', section: /place/, line: /^(x86_64|i686)$/, cases: /personality/, why: 'runc 1.1 does not know personality.' },
  { of: 'crun', section: /cgroup/, line: /^0::/, why: 'crun is shown no control groups of version 2 here: it refuses machines with both.' },
  { of: 'crun', section: /cgroup/, line: /:memory:/, why: 'crun begins at the root of each hierarchy, runc where it is itself.' },
  { of: 'crun', section: /dev/, line: / core -> \/proc\/kcore$/, why: 'crun makes the link where there is no /proc/kcore too.' },
  { of: 'crun', section: /mountinfo/, line: /\/sys ro,.*sysfs r[ow]$/, why: 'crun makes the mount alone read-only.' },
  {
    of: 'crun',
    section: /mountinfo/,
    line: /^\/(null|zero|full|random|urandom|tty) \/dev\//,
    cases: /user namespace/,
    why: 'crun takes set-user-ID bits and programs from devices.',
  },
]

const sections: readonly (readonly [name: string, command: string])[] = [
  ['status', "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|NSpid|Umask)' /proc/self/status"],
  ['limits', 'cat /proc/self/limits'],
  ['cgroup', 'cat /proc/self/cgroup'],
  ['uid_map', 'cat /proc/self/uid_map /proc/self/gid_map'],
  ['mountinfo', "cut -d' ' -f4- /proc/self/mountinfo"],
  ['dev', 'ls -l /dev /dev/deep'],
  ['env', 'env'],
  ['place', 'pwd; hostname; uname -m; cat /proc/self/oom_score_adj; ls -ld /tmp /w /etc /a/b/c /made/here'],
  ['open', 'ls /proc/self/fd | wc -l'],
  ['kernel', 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max'],
  ['kill', 'sleep 9 & kill -15 $!; echo $?'],
]
const programs = ['sh', 'true', 'id', 'cat', 'cut', 'grep', 'ls', 'env', 'hostname', 'uname', 'wc', 'sleep', 'kill', 'pwd']
const script = `${sections.map(([name, command]) => `echo "== ${name}"; { ${command}; } 2>&1`).join('; ')}; exit 5`

const isRoot = globalThis.process.getuid?.() === 0
const directory = mkdtempSync(join(tmpdir(), 'stave-oci-differential-'))
const peers = ociRuntimes('root').map((runtime) => {
  const versions = known[runtime.name]
  const { stdout } = spawnSync(runtime.program, ['--version'], { encoding: 'utf8' })
  if (versions === undefined || runtime.why !== undefined || versions.test(stdout)) return runtime
  return { ...runtime, why: `, skipped: the differences of this version are not known: ${stdout.split('\n')[0]}` }
})

beforeAll(() => {
  mkdirSync(join(directory, 'rootfs'))
  mkdirSync(join(directory, 'shared/below'), { recursive: true })
  writeFileSync(join(directory, 'shared/file'), '')
  // Who is root in a user namespace alone must come to it.
  chmodSync(directory, 0o755)
  const names = ['bin/busybox', 'etc', 'tmp', ...programs.map((name) => `bin/${name}`)].map((name) => `./${name}`)
  spawnSync('tar', ['-xf', busyboxTar(), '-C', join(directory, 'rootfs'), ...names])
  mkdirSync(join(directory, 'rootfs/w'), { mode: 0o750 })
})
afterAll(() => rmSync(directory, { recursive: true }))

/** What a runtime makes of a case, in a copy of the root of its own: mount points stay. */
function outcome(runtime: (typeof peers)[number], { change }: Case): Outcome {
  const bundle = join(directory, 'bundle')
  rmSync(bundle, { recursive: true, force: true })
  mkdirSync(bundle)
  for (const part of ['rootfs', 'shared']) cpSync(join(directory, part), join(bundle, part), { recursive: true, verbatimSymlinks: true })
  const config = plain(['sh', '-c', script])
  change(config)
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(config))
  const { status, stdout, stderr } = runBundle(runtime, bundle, directory)
  return { status, stdout: normal(stdout), stderr }
}

/** Without what is another each time: numbers of mounts and processes, times, names of this run. */
function normal(text: string): string {
  return text
    .replaceAll(/\b(shared|master):\d+/g, '$1')
    .replaceAll(/[A-Z][a-z]{2} +\d+ +\d\d:\d\d/g, 'TIME')
    .replaceAll(/NSpid:.*/g, 'NSpid')
    .replaceAll(/kill pid \d+/g, 'kill pid N')
    .replaceAll(/state-\w{6}/g, 'ID')
}

/** The lines that only one side has, each with its section. */
function differences(one: string, other: string): { section: string; line: string; side: string }[] {
  const parse = (text: string) => {
    let section = ''
    return text.split('\n').flatMap((line) => {
      if (line.startsWith('== ')) section = line.slice(3)
      return line.startsWith('== ') ? [] : [{ section, line }]
    })
  }
  const [left, right] = [parse(one), parse(other)]
  const missing = (of: typeof left, from: typeof left, side: string) => {
    const rest = from.map(({ section, line }) => `${section}\n${line}`)
    return of.flatMap((entry) => {
      const at = rest.indexOf(`${entry.section}\n${entry.line}`)
      if (at >= 0) rest.splice(at, 1)
      return at >= 0 ? [] : [{ ...entry, side }]
    })
  }
  return [...missing(left, right, 'ours'), ...missing(right, left, 'theirs')]
}

describe.skipIf(!isRoot)('a process sees the same', () => {
  const [ours, ...others] = peers
  test('there are at least sixty bundles, each under a name of its own', () => {
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length)
    expect(cases.length).toBeGreaterThanOrEqual(60)
  })
  test.each(cases)('$name', (one) => {
    const own = outcome(ours!, one)
    for (const peer of others.filter(({ why }) => why === undefined)) {
      const theirs = outcome(peer, one)
      const unexplained = differences(own.stdout, theirs.stdout).filter(
        ({ section, line }) =>
          !explanations.some(
            (explanation) =>
              (explanation.of ?? peer.name) === peer.name &&
              explanation.section.test(section) &&
              explanation.line.test(line) &&
              (explanation.cases?.test(one.name) ?? true),
          ),
      )
      expect({ peer: peer.name, status: own.status, unexplained, said: own.stderr }).toEqual({
        peer: peer.name,
        status: theirs.status,
        unexplained: [],
        said: own.stderr,
      })
    }
  })
})
