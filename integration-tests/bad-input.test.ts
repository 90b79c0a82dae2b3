/** What is wrong, down, damaged or hostile ends in a clear error, with nothing half-written and nothing outside touched. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dockerRegistry } from '../registry-tests/registries.ts'
import { tarOf, writeLayout, type Member } from './hostile.ts'
import { busyboxTar, workshop, type Outcome } from './stave.ts'

const shop = workshop('bad-input')
const isRoot = process.getuid?.() === 0
const hasRegistry = spawnSync('sh', ['-c', 'command -v docker-registry']).status === 0

beforeAll(() => {
  shop.must(['import', busyboxTar(), 'base'])
})

afterAll(() => shop[Symbol.dispose]())

/** Every failure reads the same way: `error:` first, and no stack. */
function expectError(outcome: Outcome, status: number, ...said: (string | RegExp)[]): void {
  expect(outcome.stderr).toMatch(/^error: /m)
  expect(outcome.stderr).not.toMatch(/internal error|\n\s+at .*:\d+:\d+|undefined|\[object/)
  for (const text of said) expect(outcome.stderr).toMatch(text)
  expect(outcome.status).toBe(status)
}

function build(dockerfile: string, ...flags: readonly string[]): Outcome {
  const context = mkdtempSync(join(shop.directory, 'context-'))
  writeFileSync(join(context, 'Dockerfile'), dockerfile)
  writeFileSync(join(context, 'file'), 'file\n')
  return shop.stave(['build', '-q', ...flags, context])
}

describe('a Dockerfile with an error: file, line, marker, cause, hint, and exit status 1', () => {
  const cases: readonly [name: string, dockerfile: string, line: number, ...said: (string | RegExp)[]][] = [
    ['unknown instruction', 'FROM base\nRUNN echo\n', 2, 'unknown instruction RUNN', 'Did you mean RUN?'],
    ['nothing before it', 'RUN true\n', 1, 'before the first FROM'],
    ['no arguments', 'FROM base\n\nENV\n', 3, 'ENV'],
    ['heredoc without end', 'FROM base\nRUN <<EOF\ntrue\n', 2, 'unterminated heredoc "EOF"'],
    ['unknown flag', 'FROM base\nCOPY --form=x file /\n', 2, /--form/, 'Did you mean'],
    ['unknown stage', 'FROM base AS one\nFROM one\nCOPY --from=tow:1.x@y file /\n', 3],
    ['stage of its own', 'FROM base AS one\nCOPY --from=one file /\n', 2, 'circular'],
    ['missing source', 'FROM base\nCOPY nosuch /\n', 2, '"nosuch"', 'not in the build context'],
    ['no such port', 'FROM base\nEXPOSE web\n', 2, 'invalid port "web"'],
    ['no such user', 'FROM base\nCOPY --chown=nobody-here file /\n', 2, '"nobody-here"', 'hint:'],
    ['required value', 'FROM base\nARG NAME\nRUN true\nLABEL a=${NAME:?is needed}\n', 4, 'is needed'],
    ['several sources', 'FROM base\nCOPY file Dockerfile /target\n', 2, /\/target/],
  ]
  test.each(cases)('%s', (_, dockerfile, line, ...said) => {
    const outcome = build(dockerfile)
    expectError(outcome, 1, new RegExp(String.raw`--> .*Dockerfile:${line}:\d+`), /\^/, ...said)
    expect(outcome.stderr).toContain(`${line} | ${dockerfile.split('\n')[line - 1]}`)
    expect(outcome.stdout).toBe('')
  })

  test('a failing RUN: its command, its exit code, its last lines, and where it stands', () => {
    expectError(
      build('FROM base\nRUN seq 100 && echo nothing works >&2 && exit 42\n'),
      1,
      'cannot run "seq 100 && echo nothing works >&2 && exit 42": exit code 42',
      /--> .*Dockerfile:2:1/,
      /99\n\s+100\n\s+nothing works/,
    )
  })

  test('a name that the result cannot have, before anything is built', () => {
    const outcome = build('FROM base\nRUN echo built\n', '--no-cache', '-t', 'BAD:::')
    expectError(outcome, 1, 'cannot use "BAD:::" as the name of an image')
    expect(outcome.stderr).not.toContain('RUN')
  })

  test('a RUN without its program', () => {
    expectError(build('FROM base\nRUN ["frobnicate", "--all"]\n'), 1, 'cannot run ["frobnicate","--all"]', 'not found')
  })
})

describe('used wrongly: exit status 2, or 125 of run, what is wrong, and the way to help', () => {
  test.each([
    [['frobnicate'], 'there is no such command'],
    [['biuld', '.'], 'Did you mean stave build?'],
    [['build'], 'context'],
    [['build', '--no-such-flag', '.'], '--no-such-flag'],
    [['build', '.', 'another'], 'another'],
    [['build', '--build-arg'], '--build-arg needs a value'],
    [['build', '--progress', 'loud', '.'], 'loud'],
    [['pull'], 'an operand is missing'],
    [['pull', '--policy', 'sometimes', 'base'], 'sometimes'],
    [['run'], 'an operand is missing'],
    [['run', '--memory', 'lots', 'base'], 'lots'],
    [['run', '--network', '../net', 'base'], 'cannot be the name of a network'],
    [['run', '--network', 'host', '--network', 'none', 'base'], 'cannot be combined'],
    [['run', '--network', 'container:', 'base'], 'names no container'],
    [['run', '--network', 'app:color=red', 'base'], 'is not understood'],
    [['run', '--network', 'host', '--ip', '10.0.0.5', 'base'], '--ip needs a network'],
    [['run', '-p', '80:80:80:80', 'base'], 'is not understood'],
    [['run', '-p', '0-10:80', 'base'], 'from 1 to 65535'],
    [['run', '-p', '99999:80', 'base'], 'from 1 to 65535'],
    [['run', '-p', '8000-8010:80-81', 'base'], 'differ in length'],
    [['run', '-p', '8010-8000:80', 'base'], 'ends before it begins'],
    [['run', '-p', '80:80', '-p', '80:81', 'base'], 'published twice'],
    [['run', '-p', '1.2.3:80:80', 'base'], 'not an address'],
    [['run', '--network', 'container:x', '-p', '80:80', 'base'], 'which --network container:x is not'],
    [['network', 'create', '../up'], 'cannot name a network'],
    [['network', 'create', 'host'], 'means something else'],
    [['network', 'create', '--subnet', '10.89.0.0/33', 'x'], 'is not a network'],
    [['network', 'create', '--subnet', '10.89.0.0/31', 'x'], 'size must be'],
    [['network', 'create', '--subnet', '10.89.0.0/24', '--subnet', '10.89.0.128/25', 'x'], 'overlap each other'],
    [['network', 'create', '--subnet', '10.89.0.0/24', '--gateway', '10.88.0.1', 'x'], 'in none of the subnets'],
    [['network', 'create', '--driver', 'overlay', 'x'], 'no networks of the driver'],
    [['network', 'create', '--opt', 'color=red', 'x'], 'is not understood'],
    [['run', '-v', 'relative:also-relative', 'base'], 'also-relative'],
    [['copy', 'base'], 'at least 2 operands'],
    [['copy', 'ftp://base', 'oci:x'], 'there is no transport ftp'],
    [['inspect', '--format', '{{.Id', 'base'], 'template'],
    [['ps', '--filter', 'colour=red'], 'colour=red'],
    [['kill', '-s', 'NONSENSE', 'x'], 'NONSENSE'],
    [['completion', 'tcsh'], 'tcsh'],
  ])('stave %j', (args, said) => {
    const outcome = shop.stave(args)
    // With docker and podman, 125 means that nothing ran, whatever kept it from running.
    expectError(outcome, args[0] === 'run' ? 125 : 2, said)
    expect(outcome.stdout).toBe('')
  })

  test('without a command: the overview on stderr', () => {
    const { status, stdout, stderr } = shop.stave([])
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toContain('Usage: stave')
  })
})

describe('names that stand for nothing', () => {
  test.each([
    [['run', 'nosuch:1'], 125],
    [['run', '--pull', 'never', 'nosuch:1'], 125],
    [['push', 'nosuch:1'], 1],
    [['save', '-o', 'x.tar', 'nosuch:1'], 1],
    [['save', '-o', 'x.tar', 'base', 'nosuch:1'], 1],
    [['tag', 'nosuch:1', 'other'], 1],
    [['history', 'nosuch:1'], 1],
    [['rmi', 'nosuch:1'], 1],
    [['inspect', 'nosuch:1'], 1],
    [['logs', 'nosuch'], 1],
    [['stop', 'nosuch'], 1],
    [['exec', 'nosuch', 'true'], 125],
    [['load', '-i', 'nosuch.tar'], 1],
    [['import', 'nosuch.tar', 'x'], 1],
    [['copy', 'oci:nosuch', 'oci:other'], 1],
    [['tag', 'base', 'UPPER/Case'], 1],
  ])('stave %j', (args, status) => {
    // Docker's registry is not to be asked here.
    expectError(shop.stave(args, { env: { STAVE_TEST: '1', https_proxy: 'http://127.0.0.1:9' } }), status, /nosuch|UPPER/)
  })

  test('leave no file behind', () => {
    expect(existsSync(shop.path('x.tar'))).toBe(false)
    expect(existsSync(shop.path('other'))).toBe(false)
  })
})

describe.skipIf(!hasRegistry)('registries', () => {
  let registry: Awaited<ReturnType<typeof dockerRegistry>>
  let guarded: Awaited<ReturnType<typeof dockerRegistry>>
  beforeAll(async () => {
    registry = await dockerRegistry()
    // The password `stave`, as bcrypt.
    guarded = await dockerRegistry('stave:$2y$05$2s99Lk6HRRhOFlUyBxtUm.pFOvQ/IHAyXd2ntuG/sOD6EbEjo0zFq\n')
    shop.must(['push', '-q', 'base', `docker://${registry.host}/base`])
  })
  afterAll(async () => {
    await registry[Symbol.asyncDispose]()
    await guarded[Symbol.asyncDispose]()
  })

  test('one that is down', () => {
    for (const args of [
      ['pull', 'localhost:1/x'],
      ['push', 'base', 'docker://localhost:1/x'],
      ['list-tags', 'docker://localhost:1/x'],
      ['login', '-u', 'a', '-p', 'b', 'localhost:1'],
    ])
      expectError(shop.stave(args), 1, 'localhost:1', 'nothing listens', 'hint:')
  })

  test('a missing tag, a missing repository', () => {
    expectError(shop.stave(['pull', `${registry.host}/base:nosuch`]), 1, `${registry.host}/base:nosuch`, 'not found')
    expectError(shop.stave(['pull', `${registry.host}/nosuch`]), 1, `${registry.host}/nosuch`, 'not found')
    expectError(build(`FROM ${registry.host}/nosuch\n`), 1, /Dockerfile:1:\d+/, 'nosuch')
  })

  test('wrong credentials, and none', () => {
    const target = `docker://${guarded.host}/base`
    expectError(shop.stave(['push', 'base', target]), 1, 'hint:', /stave login/)
    expectError(shop.stave(['push', '--creds', 'stave:wrong', 'base', target]), 1, guarded.host, 'hint:')
    expectError(shop.stave(['login', '-u', 'stave', '--password-stdin', guarded.host], { input: 'wrong' }), 1, guarded.host)
    expect(shop.stave(['login', '-u', 'stave', '--password-stdin', guarded.host], { input: 'stave' }).status).toBe(0)
    expect(shop.stave(['push', '-q', 'base', target]).status).toBe(0)
  })

  test('a blob that has another byte than it should', () => {
    const blobs = join(registry.directory, 'data/docker/registry/v2/blobs/sha256')
    const { layers } = JSON.parse(shop.must(['inspect', '--raw', `docker://${registry.host}/base`])) as { layers: { digest: string }[] }
    const hex = layers[0]!.digest.replace('sha256:', '')
    const file = join(blobs, hex.slice(0, 2), hex, 'data')
    const bytes = readFileSync(file)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(file, bytes)
    const store = shop.path('corrupt')
    expectError(shop.stave(['pull', `${registry.host}/base`], { store }), 1, hex, /digest|damaged|corrupt/)
    expect(shop.must(['images', '-q'], { store })).toBe('')
    expect(shop.damage(store)).toEqual([])
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(file, bytes)
    shop.must(['pull', '-q', `${registry.host}/base`], { store })
    expect(shop.must(['run', '--rm', `${registry.host}/base`, 'echo', 'whole again'], { store })).toBe('whole again')
  })

  test('a blob in the store that was damaged later', () => {
    const store = shop.path('damaged')
    shop.must(['pull', '-q', `${registry.host}/base`], { store })
    const { layers } = JSON.parse(shop.must(['inspect', '--raw', `docker://${registry.host}/base`])) as { layers: { digest: string }[] }
    const file = join(store, 'blobs', layers[0]!.digest.replace(':', '/'))
    const bytes = readFileSync(file)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(file, bytes)
    expect(shop.damage(store).join()).toContain(layers[0]!.digest.slice(7, 19))
    expectError(shop.stave(['run', '--rm', `${registry.host}/base`, 'true'], { store }), 125, /digest|damaged/)
    expectError(shop.stave(['push', `${registry.host}/base`, `docker://${registry.host}/again`], { store }), 1, /digest|damaged/)
    shop.stave(['doctor', '--verify', '--repair'], { store })
    expect(shop.damage(store)).toEqual([])
    shop.must(['pull', '-q', `${registry.host}/base`], { store })
    expect(shop.must(['run', '--rm', `${registry.host}/base`, 'echo', 'whole again'], { store })).toBe('whole again')
  })
})

describe.skipIf(!isRoot)('a full disk', () => {
  const disk = shop.path('disk')
  const store = join(disk, 'store')
  beforeAll(() => {
    mkdirSync(disk)
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk]).status).toBe(0)
  })
  afterAll(() => {
    spawnSync('umount', [disk])
  })

  test('a build, an import and a load that do not fit leave the store as it was', () => {
    shop.must(['import', busyboxTar(), 'base'], { store })
    const before = shop.must(['images', '--format', '{{.ID}} {{.Repository}}'], { store })
    const context = shop.path('full')
    mkdirSync(context)
    writeFileSync(join(context, 'Dockerfile'), 'FROM base\nRUN dd if=/dev/urandom of=/large bs=1M count=64\n')
    expectError(shop.stave(['build', '-q', '-t', 'large', context], { store }), 1, /[Nn]o space/)
    expect(shop.damage(store)).toEqual([])

    writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY large /\n')
    writeFileSync(join(context, 'large'), randomBytes(32 << 20))
    expectError(shop.stave(['build', '-q', '-t', 'large', context], { store }), 1, /no space|full/i, 'stave prune')

    spawnSync('tar', ['-cf', shop.path('large.tar'), '-C', context, 'large'])
    expectError(shop.stave(['import', shop.path('large.tar'), 'large'], { store }), 1, /no space|full/i, 'stave prune')

    shop.must(['build', '-q', '-t', 'large', context])
    shop.must(['save', '-o', shop.path('image.tar'), 'large'])
    expectError(shop.stave(['load', '-i', shop.path('image.tar')], { store }), 1, /no space|full/i, 'stave prune')

    expect(shop.must(['images', '--format', '{{.ID}} {{.Repository}}'], { store })).toBe(before)
    expect(shop.damage(store)).toEqual([])
    expect(shop.must(['run', '--rm', 'base', 'echo', 'still works'], { store })).toBe('still works')
  })
})

describe('tars that try to escape', () => {
  const outside = shop.path('outside')
  const secret = join(outside, 'secret')
  beforeAll(() => mkdirSync(outside))

  const escapes: readonly [name: string, members: readonly Member[]][] = [
    ['an absolute name', [{ name: secret, data: 'changed' }]],
    ['a name with ..', [{ name: `${'../'.repeat(30)}${secret.slice(1)}`, data: 'changed' }]],
    [
      'a name that goes in and out',
      [
        { name: 'a/', type: 'directory' },
        { name: `a/${'../'.repeat(31)}${secret.slice(1)}`, data: 'changed' },
      ],
    ],
    [
      'a hard link to what is outside',
      [
        { name: 'link', type: 'link', linkname: secret },
        { name: 'link', data: 'changed' },
      ],
    ],
    ['a hard link with ..', [{ name: 'link', type: 'link', linkname: `${'../'.repeat(30)}${secret.slice(1)}` }]],
    [
      'a hard link through a symbolic one',
      [
        { name: 'd', type: 'symlink', linkname: outside },
        { name: 'link', type: 'link', linkname: 'd/secret' },
      ],
    ],
    ['an absolute whiteout', [{ name: join(outside, '.wh.secret') }]],
  ]
  const confined: readonly [name: string, members: readonly Member[]][] = [
    [
      'a symbolic link to a directory, and a file in it',
      [
        { name: 'd', type: 'symlink', linkname: outside },
        { name: 'd/secret', data: 'changed' },
      ],
    ],
    [
      'a relative symbolic link',
      [
        { name: 'd', type: 'symlink', linkname: `${'../'.repeat(30)}${outside.slice(1)}` },
        { name: 'd/secret', data: 'changed' },
      ],
    ],
    [
      'a symbolic link to a file, and that file',
      [
        { name: 'f', type: 'symlink', linkname: secret },
        { name: 'f', data: 'changed' },
      ],
    ],
    [
      'a chain of symbolic links',
      [
        { name: 'a', type: 'symlink', linkname: '/' },
        { name: 'b', type: 'symlink', linkname: `a${outside}` },
        { name: 'b/secret', data: 'changed' },
      ],
    ],
    ['a whiteout through a symbolic link', [{ name: 'd', type: 'symlink', linkname: outside }, { name: 'd/.wh.secret' }]],
  ]

  function expectUntouched(): void {
    expect(readFileSync(secret, 'utf8')).toBe('secret')
    expect(readdirSync(outside)).toEqual(['secret'])
    expect(shop.damage()).toEqual([])
  }

  /** Every way in: as a root, as an ADD, and as a layer of an image. */
  async function ways(name: string, members: readonly Member[]): Promise<Outcome[]> {
    writeFileSync(secret, 'secret')
    const context = mkdtempSync(join(shop.directory, 'hostile-'))
    const image = `hostile-${name.replaceAll(/\W+/g, '-').toLowerCase()}`
    const tar = await tarOf(members)
    writeFileSync(join(context, 'bad.tar'), tar)
    writeFileSync(join(context, 'Dockerfile'), 'FROM base\nADD bad.tar /target/\nRUN true\n')
    const outcomes = [
      shop.stave(['import', join(context, 'bad.tar'), `${image}-imported`]),
      shop.stave(['build', '-q', '-t', `${image}-added`, context]),
    ]
    const layout = join(context, 'layout')
    writeLayout(layout, [readFileSync(busyboxTar()), tar])
    spawnSync('tar', ['-cf', join(context, 'layout.tar'), '-C', layout, '.'])
    shop.must(['copy', `oci:${layout}:latest`, `${image}-loaded`])
    outcomes.push(shop.stave(['run', '--rm', '--network', 'none', `${image}-loaded`, 'true']))
    return outcomes
  }

  test.each(escapes)('%s does not escape, by import, ADD and run', async (name, members) => {
    const [imported, added, ran] = await ways(name, members)
    expectUntouched()
    // As tar does: the slash goes, and with it the way out.
    if (name.includes('absolute')) return
    expectError(ran!, 125)
    expectError(imported!, 1)
    expectError(added!, 1, /Dockerfile:2:1/)
    expect(shop.must(['images', '--format', '{{.Repository}}'])).not.toMatch(/(?<!absolute-.*)(imported|added)/)
  })

  test.each(confined)('%s stays inside', async (name, members) => {
    for (const outcome of await ways(name, members)) if (outcome.status !== 0) expectError(outcome, outcome.status === 125 ? 125 : 1)
    expectUntouched()
    const names = shop.must(['images', '--format', '{{.Repository}}']).split('\n')
    for (const image of names.filter((one) => /imported|added/.test(one))) shop.must(['rmi', '--force', image])
  })

  test('a small file that says it is large, and a small one that becomes large', async () => {
    writeFileSync(secret, 'secret')
    const header = await tarOf([{ name: 'large', size: 0 }])
    const claim = Buffer.from(header.subarray(0, 512))
    claim.write('77777777777 ', 124, 'latin1')
    claim.fill(' ', 148, 156)
    claim.write(
      `${claim
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    )
    writeFileSync(shop.path('claim.tar'), claim)
    expectError(shop.stave(['import', shop.path('claim.tar'), 'claim']), 1)
    expectUntouched()
  })

  test('archives of images that lie', async () => {
    writeFileSync(secret, 'secret')
    const lies: readonly [name: string, members: readonly Member[]][] = [
      ['names outside', [{ name: '../../manifest.json', data: '[]' }]],
      [
        'a config that is elsewhere',
        [{ name: 'manifest.json', data: JSON.stringify([{ Config: `../../../../..${secret}`, RepoTags: ['x:1'], Layers: [] }]) }],
      ],
      [
        'a layer that is a link to what is outside',
        [
          { name: 'layer.tar', type: 'symlink', linkname: secret },
          {
            name: 'config.json',
            data: '{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}',
          },
          { name: 'manifest.json', data: JSON.stringify([{ Config: 'config.json', RepoTags: ['x:1'], Layers: ['layer.tar'] }]) },
        ],
      ],
      [
        'a digest that is a path',
        [
          { name: 'oci-layout', data: '{"imageLayoutVersion":"1.0.0"}' },
          {
            name: 'index.json',
            data: JSON.stringify({
              schemaVersion: 2,
              manifests: [{ mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: `sha256:../../../..${secret}`, size: 6 }],
            }),
          },
        ],
      ],
      ['nothing', []],
    ]
    for (const [, members] of lies) {
      writeFileSync(shop.path('lie.tar'), await tarOf(members))
      expectError(shop.stave(['load', '-i', shop.path('lie.tar')]), 1)
    }
    expectUntouched()
    expect(shop.must(['images', '--format', '{{.Repository}}'])).not.toMatch(/^x$/m)
  })
})
