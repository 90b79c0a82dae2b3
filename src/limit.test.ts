import { clean } from '#registry/clean.ts'
import { createServer, type IncomingMessage } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import * as limit from '#limit.ts'
import { openTar } from '#archive/tar-file.ts'
import { rust } from '#attest/packages/rust.ts'
import { get } from '#builder/input/http.ts'
import { download } from '#builder/input/fetch.ts'
import { createSecrets } from '#builder/input/secrets.ts'
import { mountsOf } from '#builder/cache/remote-mounts.ts'
import { readSource } from '#compose/document.ts'
import { background as cx } from '#context.ts'
import { copyToDirectory } from '#container/export.ts'
import { parseDockerfile } from '#dockerfile/parse.ts'
import { copy } from '#image/copy.ts'
import { memory } from '#image/memory.ts'
import { readInventories } from '#mirror/inventory.ts'
import { parsePorts } from '#network/port.ts'
import { decodeConfig } from '#oci/config.ts'
import { decodeDescriptor, type Descriptor } from '#oci/descriptor.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { parseReference } from '#oci/reference.ts'
import { parseChallenges } from '#registry/client/challenge.ts'
import { parseToml } from '#registry/client/toml.ts'
import { readAuthFile } from '#registry/login/credential-file.ts'
import { askHelper } from '#registry/login/credential-helper.ts'
import { bytesOf, layerOf, manifestOf, pushImage, startRig, type Rig } from '#registry/testing.ts'
import { parseSeccompProfile } from '#sandbox/seccomp.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import { attach } from '#trust/cosign.ts'
import { generateKeys, privateKey } from '#trust/key.ts'
import { readSignatures } from '#trust/lookaside.ts'

// What is far away comes near: one past it is tried all the same.
vi.mock('#limit.ts', async (original) => ({
  ...(await original<typeof limit>()),
  jsonBytes: 1000,
  inventoryBytes: 3000,
  inventoryRepositories: 20,
  inventoryBlobs: 20,
  configBytes: 5000,
  dockerfileBytes: 1000,
  downloadBytes: 1000,
  configEntries: 10,
  signatures: 3,
  signatureBytes: 1000,
  archiveEntries: 10,
  environmentLength: 1000,
  composeLength: 1000,
  composeDepth: 20,
  referrers: 4,
  referrerDepth: 2,
  referrerPages: 3,
  manifestBodyMs: 300,
  manifestBodiesAtOnce: 2,
  documentsAtOnce: 2,
  plainAnswerBytes: 200,
  uploadChunkBytes: 1024 * 1024,
  keptManifestBytes: 1000,
}))

/** What goes one past a limit and sees it hold; or the test elsewhere that does. */
type Proof = (() => unknown) | readonly [file: string, test: string]

let root: string
let store: LocalStore
let rig: Rig
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'stave-limit-'))
  store = await openStore({ root: join(root, 'store'), runner: undefined as never })
  rig = await startRig()
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const refused = (work: () => unknown, code = 'too-large'): void => expect(work).toThrow(expect.objectContaining({ code }))
const rejected = (work: Promise<unknown>, code = 'too-large'): Promise<void> => expect(work).rejects.toMatchObject({ code })
const file = (name: string, text: string): string => {
  writeFileSync(join(root, name), text)
  return join(root, name)
}

/** A web server for one test. */
async function withServer(
  answer: (path: string, request: IncomingMessage) => { status?: number; headers?: Record<string, string>; body?: string },
  use: (url: string) => Promise<unknown>,
) {
  const server = createServer((request, response) => {
    const { status = 200, headers = {}, body = '' } = answer(request.url ?? '', request)
    request.resume().on('end', () => response.writeHead(status, headers).end(body))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** Sends a manifest of which the last byte never comes. @returns the socket, and what is answered */
function unfinished(name: string): { socket: net.Socket; answer: Promise<string> } {
  const { port } = new URL(rig.server.url)
  const socket = net.connect(Number(port), '127.0.0.1')
  socket.write(
    `PUT /v2/a/manifests/${name} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: ${mediaTypes.ociManifest}\r\ncontent-length: 10\r\n\r\n{`,
  )
  const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data).split('\r\n')[0] ?? '')))
  return { socket, answer }
}

async function referred(depth: number, width: number): Promise<Error | number> {
  const registry = rig.open(`referred${depth}-${width}`)
  const { config, manifest } = await pushImage(cx, registry, 'v1')
  let subject = manifest
  for (let level = 0; level < depth; level++) {
    const all = Array.from({ length: width }, (_, at) =>
      manifestOf(config, [], { artifactType: `application/x-${level}-${at}`, subject: subject.what }),
    )
    for (const { what, raw } of all) await registry.write(cx, what, bytesOf(raw))
    subject = all[0]!
  }
  const target = memory('target')
  try {
    await copy(cx, registry, manifest.what, target, { referrers: true })
    return [...target.blobs.keys()].length
  } catch (error) {
    return error as Error
  }
}

const proofs: { readonly [Name in keyof typeof limit]: Proof } = {
  manifestBytes: ['src/oci/manifest.test.ts', 'bounds'],
  descriptors: ['src/oci/manifest.test.ts', 'bounds'],
  configBytes: () => refused(() => decodeConfig(Buffer.alloc(limit.configBytes + 1, ' '))),
  jsonBytes: () => rejected(readAuthFile(file('auth.json', ' '.repeat(limit.jsonBytes + 1)), 'docker'), 'credentials'),
  indexDepth: ['src/image/image.test.ts', 'indexes nested too deep'],
  manifests: ['src/archive/archive.test.ts', 'more manifests than any image has are too many'],
  mediaTypeLength: () =>
    refused(
      () => decodeDescriptor({ mediaType: `a/${'b'.repeat(limit.mediaTypeLength - 1)}`, digest: digestOf(''), size: 0 }),
      'invalid-document',
    ),
  repositoryLength: () => refused(() => parseReference(`h.example/${'a'.repeat(limit.repositoryLength + 1)}`), 'invalid-reference'),
  configEntries: () =>
    refused(
      () =>
        decodeConfig(
          bytes(JSON.stringify({ architecture: 'a', os: 'b', config: { Cmd: Array.from({ length: limit.configEntries + 1 }, () => '') } })),
        ),
      'invalid-document',
    ),
  descriptorEntries: () =>
    refused(() =>
      decodeDescriptor({
        mediaType: 'a/b',
        digest: digestOf(''),
        size: 0,
        urls: Array.from({ length: limit.descriptorEntries + 1 }, () => 'x:'),
      }),
    ),
  signatures: async () => {
    const [digest, place] = [digestOf('signed'), memory('signed')]
    for (let at = 0; at < limit.signatures; at++) await attach(cx, place, digest, bytes(`payload ${at}`), bytes('s'))
    await rejected(attach(cx, place, digest, bytes('one more'), bytes('s')))
    const reference = parseReference('h.example/a:1')
    expect(await readSignatures(cx, 'https://h', reference, digest, async () => bytes('s'))).toHaveLength(limit.signatures)
  },
  signatureBytes: async () => {
    const digest = digestOf('signed')
    const directory = join(root, `a@sha256=${digest.slice(7)}`)
    mkdirSync(directory)
    writeFileSync(join(directory, 'signature-1'), 'x'.repeat(limit.signatureBytes + 1))
    await rejected(readSignatures(cx, `file://${root}`, parseReference('h.example/a:1'), digest, async () => undefined))
  },

  listPages: ['src/registry/client/listing.test.ts', 'one page more than there may be is an error'],
  listBytes: ['src/registry/client/listing.test.ts', 'more bytes than a list may have are an error'],
  fruitlessPages: ['src/registry/client/listing.test.ts', 'empty pages without end are an error'],
  referrers: async () => {
    expect(await referred(1, limit.referrers)).toBeTypeOf('number')
    expect(await referred(1, limit.referrers + 1)).toMatchObject({ code: 'too-large' })
  },
  referrerDepth: async () => expect(await referred(limit.referrerDepth + 1, 1)).toBe(await referred(limit.referrerDepth, 1)),
  referrerPages: () => {
    const page = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] })
    const next = (path: string) => `<${path}x>; rel="next"`
    return withServer(
      (path) => (path === '/v2/' ? {} : { headers: { 'content-type': mediaTypes.ociIndex, link: next(path) }, body: page }),
      (url) =>
        rejected(
          rig
            .client()
            .open(parseReference(`${new URL(url).host}/a`))
            .referrers(cx, digestOf('x')),
        ),
    )
  },
  redirects: () =>
    withServer(
      (path) => ({ status: 302, headers: { location: `${path}x` } }),
      (url) => expect(get(cx, { url })).rejects.toThrow(`more than ${limit.redirects} times`),
    ),
  challengeLength: () => {
    const long = `Bearer realm="r",x="${'x'.repeat(limit.challengeLength)}", Basic realm="never read"`
    expect(parseChallenges(long).map(({ scheme }) => scheme)).not.toContain('basic')
  },
  errorBodyBytes: () =>
    withServer(
      (path) =>
        path === '/v2/'
          ? {}
          : {
              status: 403,
              headers: { 'content-type': 'application/json' },
              body: JSON.stringify({ errors: [{ code: 'DENIED', message: 'hidden' }], pad: 'x'.repeat(limit.errorBodyBytes) }),
            },
      (url) =>
        expect(
          rig
            .client()
            .open(parseReference(`${new URL(url).host}/a`))
            .resolve(cx, 'x'),
        ).rejects.not.toThrow('hidden'),
    ),
  messageLength: () => expect(clean('x'.repeat(limit.messageLength + 1))).toHaveLength(limit.messageLength + 1),
  plainAnswerBytes: () =>
    withServer(
      // Who speaks TLS says so at once, and not behind so much else.
      () => ({ status: 400, body: `${' '.repeat(limit.plainAnswerBytes)}Client sent an HTTP request to an HTTPS server.` }),
      (url) =>
        expect(
          rig
            .client()
            .open(parseReference(`${new URL(url).host}/a`))
            .resolve(cx, 'x'),
        ).rejects.toThrow('400'),
    ),
  uploadChunkBytes: async () => {
    const sizes: number[] = []
    const content = layerOf(17 * limit.uploadChunkBytes)
    await withServer(
      (_path, { method, headers }) => {
        if (method === 'HEAD') return { status: 404 }
        if (method === 'POST' || method === 'PATCH') {
          if (method === 'PATCH') sizes.push(Number(headers['content-length']))
          const end = sizes.reduce((sum, size) => sum + size, 0)
          return { status: 202, headers: { location: '/upload', range: `0-${end - 1}`, 'oci-chunk-min-length': '1000000000' } }
        }
        return Number(headers['content-length']) > limit.uploadChunkBytes ? { status: 413 } : { status: 201 }
      },
      (url) =>
        rig
          .client()
          .open(parseReference(`${new URL(url).host}/a`))
          .transfer(cx, content.what, async (from) => bytesOf(content.raw, from)),
    )
    expect(Math.max(...sizes)).toBe(limit.uploadChunkBytes)
  },
  keptManifestBytes: async () => {
    const name = 'kept'
    const all: { readonly what: Descriptor }[] = []
    for (let at = 0; at < 3; at++) all.push((await pushImage(cx, rig.open(name), `v${at}`)).manifest)
    const registry = rig.open(name)
    const read = async () => {
      for (const { what } of all) for await (const _ of await registry.open(cx, what));
    }
    await read()
    rig.log()
    await read()
    // Of three, there is room for two: the first one makes room for the others, and is asked for again.
    expect(rig.log().length).toBeGreaterThan(0)
  },
  helperBytes: async () => {
    writeFileSync(join(root, 'docker-credential-endless'), '#!/bin/sh\nexec cat /dev/zero\n')
    chmodSync(join(root, 'docker-credential-endless'), 0o755)
    const { PATH } = process.env
    vi.stubEnv('PATH', `${root}:${PATH}`)
    await expect(askHelper(cx, 'endless', 'h.example', { PATH: `${root}:${PATH}` })).rejects.toThrow('docker-credential-endless')
    vi.unstubAllEnvs()
  },
  tomlDepth: () =>
    refused(() => parseToml(`a = ${'['.repeat(limit.tomlDepth + 1)}${']'.repeat(limit.tomlDepth + 1)}`, 'f'), 'invalid-document'),
  scryptBytes: async () => {
    const { privatePem } = await generateKeys('p')
    const [, body = ''] = /-{5}[^-]+-{5}([^-]+)-{5}/.exec(privatePem) ?? []
    const document = JSON.parse(Buffer.from(body, 'base64').toString()) as { kdf: { params: { N: number; r: number } } }
    document.kdf.params.N = (2 * limit.scryptBytes) / 128 / document.kdf.params.r
    const changed = privatePem.replace(body, `\n${Buffer.from(JSON.stringify(document)).toString('base64')}\n`)
    await rejected(privateKey(changed, 'p', 'the key'))
  },

  bcryptCost: ['src/registry/server/passwords.test.ts', 'a hash of a higher cost than is computed lets nobody in, at once'],
  passwordsWaiting: ['src/registry/server/passwords.test.ts', 'one more than may wait is refused, and told to come back'],
  inventoryBytes: () => rejected(readInventories([file('large.json', ' '.repeat(limit.inventoryBytes + 1))])),
  inventoryRepositories: () => {
    const names = Array.from({ length: limit.inventoryRepositories + 1 }, (_, at) => [`r${at}`, []])
    return rejected(readInventories([file('wide.json', JSON.stringify({ inventoryVersion: 1, repositories: Object.fromEntries(names) }))]))
  },
  inventoryBlobs: () => {
    const blobs = Array.from({ length: limit.inventoryBlobs + 1 }, (_, at) => digestOf(`${at}`))
    return rejected(readInventories([file('deep.json', JSON.stringify({ inventoryVersion: 1, repositories: { a: blobs } }))]))
  },
  webhookEvents: ['src/registry/server/notifications.test.ts', 'while a webhook does not answer, the oldest events make room for new ones'],
  webhookBatch: ['src/registry/server/notifications.test.ts', 'while a webhook does not answer, the oldest events make room for new ones'],
  webhookReferences: ['src/registry/server/notifications.test.ts', 'what a manifest mentions is told, unless it is much'],
  referrersPageBytes: ['src/registry/server/server.test.ts', 'a list of referrers comes in pages of bounded size'],
  formBytes: async () => {
    const ask = async (size: number) => (await fetch(`${rig.server.url}/token`, { method: 'POST', body: 'x'.repeat(size) })).status
    expect(await ask(limit.formBytes)).not.toBe(413)
    expect(await ask(limit.formBytes + 1)).toBe(413)
  },
  manifestBodyMs: async () => {
    const { socket, answer } = unfinished('slow')
    expect(await answer).toContain('408')
    socket.destroy()
  },
  manifestBodiesAtOnce: async () => {
    const waiting = Array.from({ length: limit.manifestBodiesAtOnce }, (_, at) => unfinished(`slow${at}`))
    const started = performance.now()
    const { raw, what } = (await pushImage(cx, rig.open('a'), 'v1')).manifest
    // It waits for its turn: until one of those before it has used up its time.
    const response = await fetch(`${rig.server.url}/v2/a/manifests/late`, {
      method: 'PUT',
      body: raw,
      headers: { 'content-type': what.mediaType },
    })
    expect(response.status).toBe(201)
    expect(performance.now() - started).toBeGreaterThan(limit.manifestBodyMs / 2)
    for (const { socket } of waiting) socket.destroy()
  },
  documentsAtOnce: ['src/registry/gate.test.ts', 'no more than there are places for are in at once, and the next comes when one leaves'],

  dockerfileBytes: () => refused(() => parseDockerfile(`FROM a\n#${'x'.repeat(limit.dockerfileBytes)}`, { file: 'f' }), 'dockerfile'),
  lineBytes: () => refused(() => parseDockerfile(`FROM a\n#${'x'.repeat(limit.lineBytes)}`, { file: 'f' }), 'dockerfile'),
  expansionDepth: ['src/dockerfile/expand.test.ts', 'deep nesting is an error, not a stack overflow'],
  wordLength: ['src/dockerfile/expand.test.ts', 'a result that grows without bound is an error'],
  heredocLength: ['src/dockerfile/expand.test.ts', 'a heredoc that grows without bound is an error'],
  patternLength: ['src/dockerfile/expand.test.ts', 'patterns take time in proportion to both lengths'],
  patternWork: ['src/dockerfile/expand.test.ts', 'patterns take time in proportion to both lengths'],
  environmentLength: ['src/dockerfile/scope.test.ts', 'values that double with each line end in an error, not in the memory'],
  jsonDepth: ['src/dockerfile/parse.test.ts', 'nested so deep that Go would not decode it, it is shell text'],
  secretBytes: () => refused(() => createSecrets([{ id: 's', value: new Uint8Array(limit.secretBytes + 1) }]).get('s', true, undefined)),
  downloadBytes: () =>
    withServer(
      () => ({ body: 'x'.repeat(limit.downloadBytes + 1) }),
      (url) => rejected(download(cx, store, { url })),
    ),
  cacheMountBytes: () => {
    const mount = (size: number) => ({
      descriptor: { mediaType: mediaTypes.ociLayer, digest: digestOf('m'), size, annotations: { 'stave.cache.mount': 'a'.repeat(64) } },
      diffId: digestOf('m'),
    })
    expect(mountsOf([mount(limit.cacheMountBytes)]).size).toBe(1)
    expect(mountsOf([mount(limit.cacheMountBytes + 1)]).size).toBe(0)
  },
  packageFileBytes: ['runner-native/tests/program.rs', 'too-large'],
  auditableBytes: () => expect(rust('f', deflateSync(Buffer.alloc(limit.auditableBytes + 1, ' ')))).toEqual([]),

  composeLength: () =>
    refused(() =>
      readSource(
        ' '.repeat(limit.composeLength + 1),
        'f',
        () => undefined,
        () => undefined,
      ),
    ),
  composeNodes: ['src/compose/compose.test.ts', 'aliases that stand for ever more'],
  composeDepth: () =>
    refused(
      () =>
        readSource(
          '['.repeat(limit.composeDepth + 2) + ']'.repeat(limit.composeDepth + 2),
          'f',
          () => undefined,
          () => undefined,
        ),
      'invalid-document',
    ),

  archiveHeaderBytes: () => rejected(openTar(cx, tarOf('L', limit.archiveHeaderBytes + 1))),
  archiveEntries: () => rejected(openTar(cx, tarOf('0', 0, limit.archiveEntries + 1))),
  archiveImages: ['src/archive/archive.test.ts', 'more images than an archive may have are too many'],
  archiveLinks: ['src/archive/archive.test.ts', 'links in a circle'],
  archiveTemporaryBytes: ['src/archive/archive.test.ts', 'a bomb'],

  seccompEntries: () => {
    const syscalls = Array.from({ length: limit.seccompEntries + 1 }, () => 0)
    refused(
      () =>
        parseSeccompProfile(bytes(JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls })), 'f', { architecture: 'amd64' } as never),
      'too-large',
    )
  },
  publishedPorts: () => refused(() => parsePorts([`1-${limit.publishedPorts + 1}`]), 'usage'),
  hostFileBytes: ['src/network/network.test.ts', 'a file of this machine that is too large, or that is not there, says nothing'],
  links: async () => {
    for (let at = 0; at <= limit.links; at++) symlinkSync(join(root, `link${at + 1}`), join(root, `link${at}`))
    await rejected(copyToDirectory(cx, store, undefined as never, '/x', join(root, 'link0')), 'conflict')
    expect(existsSync(join(root, `link${limit.links + 1}`))).toBe(false)
  },
  runnerLineBytes: ['src/runner/process.test.ts', 'one that does not end is given up, once, and the rest is thrown away'],
  buildLogs: ['src/store/logs.test.ts', 'no more than so many'],
  buildLogBytes: ['src/store/logs.test.ts', 'the largest share goes to the newest'],
  buildLogDays: ['src/store/logs.test.ts', 'old ones go, with what names them'],
}

/** The same for what the native program reads: the test that goes one past each. */
const native: Readonly<Record<string, readonly [file: string, test: string]>> = {
  LAYER_ENTRIES: ['tests/hostile.rs', 'bounds_hold'],
  LAYER_BYTES: ['tests/hostile.rs', 'bounds_hold'],
  LAYERS: ['tests/bounds.rs', 'one_layer_too_many'],
  PATH: ['tests/bounds.rs', 'a_name_that_is_too_long'],
  LINKS: ['tests/bounds.rs', 'a_chain_of_links_that_is_too_long'],
  EXTENDED_HEADER: ['tests/bounds.rs', 'an_extended_header_that_is_too_large'],
  EXTENTS: ['tests/bounds.rs', 'more_extents_than_a_sparse_file_may_have'],
  XATTRS: ['tests/bounds.rs', 'more_attributes_than_a_file_may_have'],
  RATIO: ['tests/bounds.rs', 'a_bomb_ends_where_it_becomes_harmful'],
  HARMLESS: ['tests/bounds.rs', 'a_bomb_ends_where_it_becomes_harmful'],
  ZSTD_WINDOW_LOG: ['tests/hostile.rs', 'blobs_are_what_they_must_be'],
  XZ_MEMORY: ['tests/bounds.rs', 'xz_that_asks_for_too_much_memory_is_no_archive'],
  DATABASE: ['src/container/user.rs', 'a_database_is_read_up_to_a_size'],
  GROUPS: ['src/container/user.rs', 'more_groups_than_the_kernel_takes_are_left_out'],
  COPY_UP_LEVELS: ['src/container/copy_up.rs', 'a_tree_is_copied_up_to_a_depth'],
  ELF_NAMES: ['tests/bounds.rs', 'a_program_whose_names_are_too_long_has_no_sections'],
  ANSWER: ['tests/program.rs', 'files_that_are_too_large_together_are_no_answer'],
  REQUEST: ['tests/bounds.rs', 'a_request_that_is_too_large'],
  PROCESSORS: ['src/container/plan/process.rs', 'lists_of_numbers_are_the_kernels'],
  FRAME: ['src/monitor/frame.rs', 'frames_that_are_too_long_are_another_language'],
  LAG: ['src/monitor/watch.rs', 'clients_have_a_number_and_those_that_lag_are_let_go'],
  CLIENTS: ['src/monitor/watch.rs', 'clients_have_a_number_and_those_that_lag_are_let_go'],
  SENDERS: ['src/net/relay.rs', 'of_more_senders_than_are_told_apart_the_oldest_is_forgotten'],
  QUESTIONS: ['src/net/resolver.rs', 'one_question_more_than_may_wait_is_answered_at_once'],
  RESOLVER_CONNECTIONS: ['src/net/resolver.rs', 'one_connection_more_than_there_may_be_is_closed'],
}

describe('of the native program', () => {
  const text = (path: string) => readFileSync(join(import.meta.dirname, '../runner-native', path), 'utf8')
  test('each bound has a test', () => {
    const names = [...text('src/limit.rs').matchAll(/^pub const ([A-Z_]+):/gm)].map(([, name]) => name)
    expect(Object.keys(native).toSorted()).toEqual(names.toSorted())
  })
  test.each(Object.entries(native))('%s', (name, [path, test]) => {
    const found = text(path)
      .split(/^\s*#\[test\]\n/m)
      .find((part) => part.trimStart().startsWith(`fn ${test}()`))
    expect(found).toBeDefined()
    if (path !== 'tests/hostile.rs' && path !== 'tests/program.rs') expect(text(path)).toContain(`limit::${name}`)
  })
})

describe('one past', () => {
  test.each(Object.entries(proofs))('%s', async (_name, proof) => {
    if (typeof proof === 'function') await proof()
    else expect(readFileSync(join(import.meta.dirname, '..', proof[0]), 'utf8').replaceAll('"', "'")).toContain(`'${proof[1]}'`)
  })
})

/** A tar of entries of one type; of this size, where it is one. */
function tarOf(type: string, size: number, count = 1): AsyncIterable<Uint8Array> {
  const header = Buffer.alloc(512)
  header.write('name')
  header.write('0000644\0', 100)
  header.write(size.toString(8).padStart(11, '0'), 124)
  header.write(type, 156)
  header.write('ustar\x0000', 257)
  header.fill(' ', 148, 156)
  header.write(
    header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0') + '\0 ',
    148,
  )
  return bytesOf(Buffer.concat([...Array.from({ length: count }, () => header), Buffer.alloc(Math.ceil(size / 512) * 512 + 1024)])) as never
}
