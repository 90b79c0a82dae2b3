import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Context } from '#context.ts'
import type { BuildOptions } from './options.ts'
import { addBusybox, temporaryRoot, testRunner, whyNoContainers } from '#store/busybox.fixture.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import { build } from './build.ts'

/**
 * What each option of a build is to the keys of its steps: two values give other keys (`differ`) or the same ones
 * (`same`), or it names where the build finds and leaves things. A new option must be written down here.
 */
type Row = { readonly differ: readonly [Given, Given] } | { readonly same: readonly [Given, Given] } | 'place'
type Given = Partial<BuildOptions>

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Standard input, as a text here so that each build has its own. */
const typed = (text: string): Given => ({ file: '-', stdin: text as never })

const rows: { readonly [Name in keyof Required<BuildOptions>]: Row } = {
  store: 'place',
  places: 'place',
  cwd: 'place',
  id: { same: [{ id: 'one' }, { id: 'two' }] },

  // What is built.
  context: { differ: [{}, { context: 'other' }] },
  contextSubPath: { differ: [{ context: 'context.tar' }, { context: 'context.tar', contextSubPath: 'below' }] },
  file: { differ: [{}, { file: 'context/other.Dockerfile' }] },
  stdin: { differ: [typed('FROM busybox\nRUN echo 1'), typed('FROM busybox\nRUN echo 2')] },
  ignoreFile: { differ: [{}, { ignoreFile: 'context/ignored' }] },
  modePolicy: { differ: [{ modePolicy: 'keep' }, { modePolicy: 'git' }] },
  from: { differ: [{}, { from: 'other' }] },
  env: { differ: [{ env: [['A', '1']] }, { env: [['A', '2']] }] },
  buildArgs: { differ: [{ buildArgs: { ARGUMENT: '1' } }, { buildArgs: { ARGUMENT: '2' } }] },
  buildContexts: { differ: [{}, { buildContexts: { busybox: 'docker-image://other' } }] },
  platforms: { differ: [{ platforms: ['linux/amd64'] }, { platforms: ['linux/arm64'] }] },

  // What a RUN sees.
  network: { differ: [{ network: 'host' }, { network: 'none' }] },
  shmBytes: { differ: [{ shmBytes: 1 << 20 }, { shmBytes: 2 << 20 }] },
  ulimits: { differ: [{ ulimits: [{ name: 'nofile', soft: 1, hard: 1 }] }, { ulimits: [{ name: 'nofile', soft: 2, hard: 2 }] }] },
  sandbox: { differ: [{ sandbox: { capabilities: [] } }, { sandbox: { capabilities: ['CAP_CHOWN'] } }] },
  addHosts: { differ: [{ addHosts: [{ host: 'a', address: '192.0.2.1' }] }, { addHosts: [{ host: 'b', address: '192.0.2.1' }] }] },
  allow: { same: [{}, { allow: ['security.insecure', 'network.host', 'device'] }] },
  runtime: { same: [{}, { runtime: '/usr/sbin/runc' }] },
  proxy: { same: [{ proxy: { http_proxy: 'http://a' } }, { proxy: { http_proxy: 'http://b' } }] },
  authorities: { same: [{}, { authorities: '/etc/ssl/certs/ca-certificates.crt' }] },
  secrets: { same: [{ secrets: [{ id: 's', value: bytes('1') }] }, { secrets: [{ id: 's', value: bytes('2') }] }] },
  ssh: { same: [{ ssh: [{ id: 'default', socket: '/a' }] }, { ssh: [{ id: 'default', socket: '/b' }] }] },

  // How its layers are written.
  compression: { differ: [{ compression: 'gzip' }, { compression: 'zstd' }] },
  compressionLevel: { differ: [{ compressionLevel: 1 }, { compressionLevel: 9 }] },
  epoch: { differ: [{ epoch: 1 }, { epoch: 2 }] },

  // What is said of the result, and where it goes.
  tags: { same: [{ tags: ['one'] }, { tags: ['two'] }] },
  target: { same: [{ target: 'last' }, {}] },
  labels: { same: [{ labels: { a: '1' } }, { labels: { a: '2' } }] },
  annotations: { same: [{}, { annotations: [{ level: 'manifest', key: 'a', value: '1' }] }] },
  without: { same: [{}, { without: { env: ['PATH'], labels: ['a'], history: true } }] },
  outputs: { same: [{ outputs: [{ type: 'cacheonly' }] }, { outputs: [{ type: 'image' }] }] },
  format: { same: [{ format: 'oci' }, { format: 'docker' }] },
  forceCompression: { same: [{}, { forceCompression: true }] },
  squash: { same: [{ squash: 'new' }, { squash: 'all' }] },
  provenance: { same: [{ provenance: false }, { provenance: 'max' }] },
  sbom: { same: [{ sbom: false }, { sbom: true }] },
  attestStorage: { same: [{ attestStorage: 'index' }, { attestStorage: 'referrers' }] },

  // What is looked up, and how it is worked.
  noCache: { same: [{}, { noCache: true }] },
  noCacheFilter: { same: [{}, { noCacheFilter: ['last'] }] },
  cacheSince: { same: [{}, { cacheSince: 1 }] },
  pull: { same: [{ pull: 'missing' }, { pull: 'never' }] },
  cacheFrom: { same: [{}, { cacheFrom: [{ type: 'local', path: '/nowhere' }] }] },
  cacheTo: { same: [{}, { cacheTo: [{ type: 'inline' }] }] },
  cacheTimeoutMs: { same: [{ cacheTimeoutMs: 1 }, { cacheTimeoutMs: 2 }] },
  jobs: { same: [{ jobs: 1 }, { jobs: 2 }] },
  findings: { same: [{}, { findings: true }] },
  explain: { same: [{}, { explain: true }] },
  print: 'place',
  until: 'place',
  onStop: 'place',
}

const dockerfile = (step: string): string => `FROM busybox AS base
ARG ARGUMENT
RUN ${step}
FROM busybox AS last
ENV B=b
COPY . /f
COPY --from=base /etc /etc
`

let root: string
let store: LocalStore
let cx: Context
beforeAll(async () => {
  if (whyNoContainers() !== undefined) return
  root = temporaryRoot()
  cx = { signal: new AbortController().signal, report() {} }
  store = await openStore({ root: join(root, 'store'), runner: testRunner(join(root, 'store')) })
  await addBusybox(store, 'busybox')
  const files = {
    'context/Dockerfile': dockerfile('true'),
    'context/other.Dockerfile': dockerfile('false'),
    'context/ignored': 'f',
    'context/f': '1',
    'context/below/Dockerfile': dockerfile('true'),
    'context/below/f': '2',
    'other/Dockerfile': dockerfile('true'),
    'other/f': '3',
  }
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  chmodSync(join(root, 'context/f'), 0o600)
  execFileSync('tar', ['-C', join(root, 'context'), '-cf', join(root, 'context.tar'), '.'])
  await build(cx, { ...always(), file: '-', stdin: asStream('FROM busybox\nCOPY f /other\n'), tags: ['other'] })
})
afterAll(async () => {
  if (whyNoContainers() !== undefined) return
  await store[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

const always = (): BuildOptions => ({ store, places, cwd: root, context: 'context' })
const places: BuildOptions['places'] = {
  source: (_cx, location) => Promise.reject(new Error(`nothing is asked of ${location}`)),
  target: (_cx, location) => Promise.reject(new Error(`nothing is brought to ${location}`)),
}

async function* asStream(text: string): AsyncGenerator<Uint8Array> {
  yield bytes(text)
}

async function keysOf({ stdin, ...given }: Given): Promise<readonly string[]> {
  // Standard input is read once.
  const fresh = stdin === undefined ? {} : { stdin: asStream(stdin as unknown as string) }
  const { printed } = await build(cx, { ...always(), ...given, ...fresh, print: 'keys' })
  const steps = (printed as { steps: { op: { kind: string }; key?: string }[] }[]).flatMap((plan) => plan.steps)
  // What comes after a step that was not executed has no key.
  const keys = steps.flatMap(({ key }) => (key === undefined ? [] : [key]))
  expect(keys).toHaveLength(stdin === undefined ? 2 : 1)
  return keys
}

describe.skipIf(whyNoContainers() !== undefined)('keys (skipped without containers)', () => {
  test.each(Object.entries(rows).flatMap(([name, row]) => (row === 'place' ? [] : [[name, row] as const])))('%s', async (_name, row) => {
    const [one, other] = await Promise.all(('same' in row ? row.same : row.differ).map(keysOf))
    if ('same' in row) expect(one).toEqual(other)
    else expect(one).not.toEqual(other)
  })
})
