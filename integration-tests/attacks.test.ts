/**
 * What an image, a Dockerfile or a program in a container tries against the machine, each seen to fail, as root and as an
 * ordinary user. Every attack goes for the same prey: a directory of this machine that says when it was read or written.
 * Races are tried STAVE_ATTACK_TRIES times.
 */
import { createHash } from 'node:crypto'
import { chmodSync, chownSync, closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { tarOf, type Member } from './hostile.ts'
import { busyboxTar, ordinaryUser, workshop, type Outcome, type User } from './stave.ts'

const tries = Number(process.env['STAVE_ATTACK_TRIES'] ?? 10)
const runner = join(import.meta.dirname, '../dist/stave-runner')
const secret = 'the-word-of-this-machine'
const busybox = readFileSync('/bin/busybox')

const isRoot = process.getuid?.() === 0
const ordinary = ordinaryUser()
const users: readonly (readonly [string, User | undefined | string])[] = [
  ['root', isRoot ? undefined : 'not run by root'],
  ['an ordinary user', ordinary],
]

describe.each(users)('as %s', (name, who) => {
  describe.skipIf(typeof who === 'string')(typeof who === 'string' ? `(skipped: ${who})` : 'an attack fails', () => {
    const user = who as User | undefined
    const shop = workshop(`attacks-${name.replaceAll(' ', '-')}`, user)
    const prey = shop.path('prey')
    // Limits need a control group, which an ordinary user seldom has.
    const hasLimits = user === undefined
    let count = 0

    const own = (path: string) => user && chownSync(path, user.uid, user.gid)
    beforeAll(() => shop.must(['import', '-q', busyboxTar(), 'base']))
    beforeEach(() => {
      rmSync(prey, { recursive: true, force: true })
      mkdirSync(prey)
      writeFileSync(join(prey, 'file'), secret)
      // Everybody may write: only what the sandbox does protects it.
      chmodSync(prey, 0o777)
      chmodSync(join(prey, 'file'), 0o666)
    })
    afterAll(() => shop[Symbol.dispose]())

    /** Nothing was read from the prey, and nothing changed in it. */
    function unharmed(...said: readonly Pick<Outcome, 'stdout' | 'stderr'>[]) {
      for (const { stdout, stderr } of said) expect(stdout + stderr).not.toContain(secret)
      expect(readdirSync(prey)).toEqual(['file'])
      expect(readFileSync(join(prey, 'file'), 'utf8')).toBe(secret)
      expect(statSync(join(prey, 'file')).mode & 0o7777).toBe(0o666)
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(prey)
    }

    function context(dockerfile: string): string {
      const directory = shop.path(`context${count++}`)
      mkdirSync(directory)
      writeFileSync(join(directory, 'Dockerfile'), dockerfile)
      writeFileSync(join(directory, 'mine'), 'mine')
      for (const path of [directory, join(directory, 'Dockerfile'), join(directory, 'mine')]) own(path)
      return directory
    }
    const build = (dockerfile: string, ...flags: string[]) =>
      shop.stave(['build', '--no-cache', '--progress', 'plain', ...flags, context(dockerfile)])
    const run = (...args: string[]) => shop.stave(['run', '--rm', '--network', 'none', ...args])
    /** Imports a root of these members, beside the programs of busybox. */
    async function rootOf(image: string, members: readonly Member[]) {
      const programs = ['sh', 'cat', 'ls', 'touch', 'true', 'id', 'sleep'].map((program): Member => ({
        name: `bin/${program}`,
        type: 'symlink',
        linkname: 'busybox',
      }))
      const tar = await tarOf([{ name: 'bin/busybox', data: busybox, mode: 0o755 }, ...programs, ...members])
      shop.must(['import', '-q', '-', image], { input: tar })
    }
    const up = '../'.repeat(24)

    describe('a working directory that is a descriptor of the runtime', () => {
      const climb = `cat ${up}${prey}/file 2>/dev/null; cat ${prey.slice(1)}/file 2>/dev/null; pwd`
      const places = ['/proc/self/fd/3', '/proc/self/fd/7', '/proc/self/fd/8', '/proc/self/fd/1023', '/proc/self/cwd', '/proc/1/root']

      test.each(places)('%s, in run and exec', (place) => {
        const container = shop.must(['run', '-d', '--network', 'none', 'base', 'sleep', '1000'])
        try {
          unharmed(run('-w', place, 'base', 'sh', '-c', climb), shop.stave(['exec', '-w', place, container, 'sh', '-c', climb]))
        } finally {
          shop.stave(['rm', '-f', container])
        }
      })

      test('all of them, in an image and in its steps', () => {
        const every = Array.from({ length: 24 }, (_, fd) => `WORKDIR /proc/self/fd/${fd + 3}\nRUN ${climb}`)
        unharmed(build(`FROM base\n${every.join('\n')}\n`))
        for (const place of places) {
          const made = build(`FROM base\nWORKDIR ${place}\n`, '-t', 'placed')
          unharmed(made)
          if (made.status === 0) unharmed(run('placed', 'sh', '-c', climb))
        }
      })
    })

    describe('a root whose directories lead elsewhere', () => {
      const names = ['dev', 'proc', 'sys', 'etc', 'tmp', 'run', 'etc/hosts', 'etc/resolv.conf', 'etc/passwd', 'sys/fs/cgroup']
      test.each(names)('%s', async (at) => {
        const linkname = at.includes('/') ? prey : `${up}${prey.slice(1)}`
        await rootOf('linked', [{ name: at, type: 'symlink', linkname }])
        const script = `cat ${prey}/file /${at}/file; touch /${at}/made /${at}; ls /${at}/`
        unharmed(run('linked', 'sh', '-c', script))
        unharmed(run('--tmpfs', `/${at}/x`, '-v', `${shop.path()}:/${at}/y`, '-w', `/${at}/z`, 'linked', 'true'))
        unharmed(build(`FROM linked\nWORKDIR /${at}/w\nCOPY mine /${at}/mine\nRUN touch /${at}/x\n`))
        const container = shop.must(['create', 'linked', 'true'])
        unharmed(shop.stave(['cp', shop.path('context0'), `${container}:/${at}/`]), shop.stave(['cp', `${container}:/${at}/file`, '-']))
        shop.must(['rm', container])
      })
    })

    test.each(['/proc', '/proc/self', '/sys', '/dev', '/etc', '/'])('a volume of the image at %s', (at) => {
      const made = build(`FROM base\nVOLUME ${at} /..${up}${prey}\n`, '-t', 'volumes')
      unharmed(made)
      const ran = run('volumes', 'sh', '-c', `ls -la ${prey}; cat ${prey}/file; cat /proc/self/attr/current /proc/1/oom_score_adj; mount`)
      unharmed({ stdout: ran.stdout.replaceAll(secret, ran.stdout.includes(secret) ? secret : ''), stderr: ran.stderr })
    })

    describe('what a process is given', () => {
      const look = `grep -E 'Cap(Inh|Amb)' /proc/self/status; ls /proc/$$/fd; cat /proc/self/fd/*/file`
      const nothing = 'CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n0\n1\n2\n'

      test.each([['0'], ['1000'], ['1000:0']])('no capability to inherit and no descriptor, as %s', (as) => {
        const container = shop.must(['run', '-d', '--network', 'none', 'base', 'sleep', '1000'])
        const descriptor = openSync(prey, 'r')
        try {
          const descriptors = [descriptor, descriptor, descriptor]
          for (const args of [
            ['run', '--rm', '--network', 'none', '-u', as, 'base'],
            ['exec', '-u', as, container],
          ]) {
            const ran = shop.stave([...args, 'sh', '-c', look], { descriptors })
            expect(ran.stdout).toBe(nothing)
            unharmed(ran)
          }
          const directory = context(`FROM base\nUSER ${as}\nRUN ${look}\n`)
          const built = shop.stave(['build', '--no-cache', '--progress', 'plain', directory], { descriptors })
          expect(built.stderr.replaceAll(/^#\d+ /gm, '')).toContain(nothing)
          unharmed(built)
        } finally {
          closeSync(descriptor)
          shop.stave(['rm', '-f', container])
        }
      })

      test('what the kernel tells is hidden, what it is told is read-only', () => {
        const ran = run(
          'base',
          'sh',
          '-c',
          `for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug; do head -c 1 $f 2>/dev/null | wc -c; done
           for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/irq/0/smp_affinity /sys/kernel/uevent_helper; do
             echo x 2>/dev/null > $f && echo wrote $f; done
           for d in /proc/acpi /proc/scsi /sys/firmware; do ls -A $d 2>/dev/null; done
           mkdir /sys/fs/cgroup/mine 2>/dev/null && echo cgroup
           true`,
        )
        expect(ran).toMatchObject({ status: 0, stdout: '0\n'.repeat(5) })
      })
    })

    describe('a user that is not what it seems', () => {
      const specs = [
        '0:',
        ':0',
        '+1',
        '+0',
        ' 0',
        '0 ',
        '-1',
        '4294967295',
        '4294967296',
        '0x0',
        '00x',
        '1e0',
        'root\n',
        'root:',
        'no:root',
        '0:0:0',
        '٠',
      ]
      const plain: Readonly<Record<string, string>> = { '0:': '0', ':0': '0', 'root:': '0', '+0': '0', '+1': '1', '00x': '1234' }
      let container = ''
      beforeAll(async () => {
        await rootOf('named', [{ name: 'etc/passwd', data: 'root:x:0:0::/:/bin/sh\n00x:x:1234:1234::/:/bin/sh\n' }])
        container = shop.must(['run', '-d', '--network', 'none', '-u', '1000:1000', 'named', 'sleep', '1000'])
      })

      test.each(specs)('%j', (spec) => {
        for (const ran of [run('-u', spec, 'named', 'id', '-u'), shop.stave(['exec', '-u', spec, container, 'id', '-u'])]) {
          // Either it is refused, with the status that means so, or it is whom its plain reading names.
          if (ran.status === 0) expect(ran.stdout.trim()).toBe(plain[spec] ?? 'refused')
          else expect([125, 126]).toContain(ran.status)
        }
      })
    })

    test.each([
      ['a group file of two gigabytes', 'truncate -s 2G /etc/group'],
      ['a group of ten million letters', `head -c 10000000 /dev/zero | tr '\\0' a > /etc/group`],
      ['a passwd that is a FIFO', 'rm -f /etc/passwd; mkfifo /etc/passwd'],
      ['a passwd that never ends', 'rm -f /etc/passwd; ln -s /dev/zero /etc/passwd'],
      ['a passwd that is a directory', 'rm -f /etc/passwd; mkdir /etc/passwd'],
    ])('%s', { timeout: 30_000 }, (_, prepare) => {
      const container = shop.must(['run', '-d', '--network', 'none', ...(hasLimits ? ['--memory', '256m'] : []), 'base', 'sleep', '1000'])
      try {
        shop.must(['exec', container, 'sh', '-c', prepare])
        const began = Date.now()
        const named = shop.stave(['exec', '-u', 'somebody', container, 'id', '-u'])
        expect([125, 126]).toContain(named.status)
        expect(named.stderr).toMatch(/\/etc\/(passwd|group)|somebody/)
        const numbered = shop.stave(['exec', '-u', '12', container, 'id', '-u'])
        if (numbered.status === 0) expect(numbered.stdout).toBe('12\n')
        expect(Date.now() - began).toBeLessThan(15_000)
      } finally {
        shop.stave(['rm', '-f', container])
      }
    })

    test('labels of an image command nothing', () => {
      const labels = {
        'run.oci.hooks.stdout': `${prey}/made`,
        'run.oci.handler': 'wasm',
        'run.oci.keep_original_groups': '1',
        'org.systemd.property.ExecStopPost': `'touch ${prey}/made'`,
        'io.podman.annotations.privileged': 'TRUE',
        'cdi.k8s.io/x': 'vendor.com/device=all',
      }
      const lines = Object.entries(labels).map(([key, value]) => `LABEL "${key}"="${value}"`)
      unharmed(build(`FROM base\n${lines.join('\n')}\n`, '-t', 'labelled'))
      const plain = run('base', 'sh', '-c', 'id; grep Cap /proc/self/status')
      expect(run('labelled', 'sh', '-c', 'id; grep Cap /proc/self/status')).toEqual(plain)
      unharmed(plain)
    })

    describe('races', () => {
      /** A container that swaps a directory and a link out of it, as fast as it can, in a volume or its own root. */
      function swapping(...flags: string[]): string {
        const climb = `${up}${prey.slice(1)}`
        const script = `mkdir -p /v/real /v/d; echo mine > /v/real/file; ln -sfn ${climb} /v/link
          while :; do mv /v/d /v/t; mv /v/link /v/d; mv /v/d /v/link; mv /v/t /v/d; done`
        return shop.must(['run', '-d', '--network', 'none', ...flags, 'base', 'sh', '-c', script])
      }

      test('cp through a directory that becomes a link', { timeout: 60_000 + tries * 5_000 }, () => {
        const container = swapping()
        try {
          const source = context('FROM scratch\n')
          for (let round = 0; round < tries; round++)
            unharmed(shop.stave(['cp', join(source, 'mine'), `${container}:/v/d/made`]), shop.stave(['cp', `${container}:/v/d/file`, '-']))
        } finally {
          shop.stave(['rm', '-f', container])
        }
      })

      test('a mount onto a directory that becomes a link', { timeout: 60_000 + tries * 5_000 }, () => {
        const container = swapping('-v', 'swapped:/v')
        try {
          for (let round = 0; round < tries; round++) {
            unharmed(
              run('-v', 'swapped:/v', '-v', 'other:/v/d/made', '--tmpfs', '/v/d', 'base', 'sh', '-c', 'cat /v/d/file; touch /v/d/made/x'),
              run('-v', 'swapped:/v', '-w', '/v/d/made', 'base', 'sh', '-c', 'cat file; touch x'),
            )
          }
        } finally {
          shop.stave(['rm', '-f', container])
        }
      })

      test('a cache mount whose part becomes a link', { timeout: 60_000 + tries * 5_000 }, async () => {
        const climb = `${up}${prey.slice(1)}`
        const mount = '--mount=type=cache,id=raced,target=/v'
        const swap = `mkdir -p /v/d; ln -sfn ${climb} /v/link; touch /v/go; i=0
          while [ -e /v/go ]; do mv /v/d /v/t; mv /v/link /v/d; mv /v/d /v/link; mv /v/t /v/d; done`
        const racer = shop.start(['build', '--no-cache', '-q', context(`FROM base\nRUN ${mount} ${swap.replaceAll('\n', ' \\\n')}\n`)])
        const ended = new Promise((resolve) => void racer.once('exit', resolve))
        try {
          const step = 'RUN --mount=type=cache,id=raced,source=d,target=/m cat /m/file; touch /m/made; true'
          for (let round = 0; round < Math.ceil(tries / 20); round++)
            unharmed(build(`FROM base\n${Array.from({ length: 20 }, (_, i) => `${step} ${round} ${i}`).join('\n')}\n`))
        } finally {
          build(`FROM base\nRUN ${mount} rm -f /v/go\n`)
          racer.kill('SIGINT')
          await ended
        }
      })

      test('a program that joins a container is not to be had', { timeout: 60_000 + tries * 5_000 }, () => {
        const before = createHash('sha256').update(readFileSync(runner)).digest('hex')
        const script = `while :; do for p in /proc/[0-9]*; do
            [ $p = /proc/1 ] || [ $p = /proc/$$ ] && continue
            cat $p/cwd${prey}/file $p/root${prey}/file $p/fd/*${prey}/file $p/fd/*/file 2>/dev/null
            head -c 64 $p/environ 2>/dev/null | grep -a STAVE_ROOT
            (echo x > $p/exe) 2>/dev/null && echo WROTE
          done; done`
        const container = shop.must(['run', '-d', '--network', 'none', 'base', 'sh', '-c', script])
        try {
          for (let round = 0; round < tries; round++) shop.stave(['exec', container, 'true'])
          const logs = shop.stave(['logs', container])
          unharmed(logs)
          expect(logs.stdout).not.toMatch(/WROTE|STAVE_ROOT/)
          expect(createHash('sha256').update(readFileSync(runner)).digest('hex')).toBe(before)
        } finally {
          shop.stave(['rm', '-f', container])
        }
      })

      test('an image that starts the runtime again', () => {
        const before = createHash('sha256').update(readFileSync(runner)).digest('hex')
        unharmed(build('FROM base\nRUN ln -s /proc/self/exe /again\nENTRYPOINT ["/again"]\n', '-t', 'again'))
        unharmed(run('again'), run('--entrypoint', '/proc/self/exe', 'again', 'run'))
        expect(createHash('sha256').update(readFileSync(runner)).digest('hex')).toBe(before)
      })
    })

    describe('a step of a build', () => {
      test.each([
        [
          'mounts what a link of a stage names',
          `FROM base AS a\nRUN ln -s ${up}${prey} /l && ln -s / /r\nFROM base\nRUN --mount=from=a,source=/l,target=/m cat /m/file /m/*\nRUN --mount=from=a,source=/r,target=/m cat /m${prey}/file\n`,
        ],
        [
          'names a cache by a path',
          `FROM base\nRUN --mount=type=cache,id=${up}${prey},target=/m touch /m/made\nRUN --mount=type=cache,id=a,source=${up}${prey},target=/m cat /m/file; touch /m/made\n`,
        ],
        [
          'puts links where its mounts were',
          `FROM base\nRUN --mount=type=tmpfs,target=/a/b/c umount /a/b/c; rm -rf /a; ln -s ${up}${prey} /a; mkdir -p ${prey}/b/c\nRUN --mount=type=tmpfs,target=/a/file/x true\n`,
        ],
        [
          'copies through links',
          `FROM base\nRUN ln -s ${up}${prey} /d\nCOPY mine /d/made\nADD mine /d/made2\nCOPY mine /d/file/../made3\nCOPY --from=0 /d/file /x\n`,
        ],
        ['asks for more than it may', 'FROM base\nRUN --security=insecure cat /proc/kcore\n'],
        ['gives options of mount(2)', `FROM base\nRUN --mount=type=bind,bind-propagation=shared,target=/m,source=. true\n`],
        ['leaves its secrets', `FROM base\nRUN --mount=type=secret,id=s cat /run/secrets/s > /dev/null; ls /run\nRUN ls -R /run\n`],
      ])('%s', (_, dockerfile) => {
        writeFileSync(shop.path('secret'), secret)
        own(shop.path('secret'))
        unharmed(build(dockerfile, '--secret', `id=s,src=${shop.path('secret')}`))
      })
    })
  })
})
