import type { Event } from '#event.ts'
import type { BuildOptions, BuildResult } from './options.ts'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openImage, readManifest } from '#image/image.ts'
import { validate } from '#image/validate.ts'
import { openLayout } from '#layout/layout.ts'
import { locateRunner } from '#runner/locate.ts'
import { createRunner } from '#runner/runner.ts'
import { addBusybox, temporaryRoot, whyNoContainers } from '#store/busybox.fixture.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import { build } from './build.ts'
import { importImage } from './import.ts'

const reason = whyNoContainers()
let root: string
let store: LocalStore
let context: string
let events: Event[]
const cx = { signal: new AbortController().signal, report: (event: Event) => void events.push(event) }

const open = (directory: string): Promise<LocalStore> =>
  openStore({ root: directory, runner: createRunner({ binary: locateRunner(), uid: 0, root: directory }) })

beforeEach(async () => {
  events = []
  root = temporaryRoot()
  context = mkdtempSync(join(tmpdir(), 'stave-context-'))
  store = await open(root)
  if (reason === undefined) await addBusybox(store, 'busybox')
})
afterEach(async () => {
  await store[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
  rmSync(context, { recursive: true, force: true })
})

function write(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(context, name)), { recursive: true })
    writeFileSync(join(context, name), text)
  }
}

/** Local layouts are the only places that these tests name. */
const places: BuildOptions['places'] = {
  async source(_cx, location) {
    const [, path = '', tag = ''] = /^oci:(.*):([^:]*)$/.exec(location) ?? []
    if (path === '') throw new Error(`no place ${location}`)
    return { source: await openLayout(path), name: tag }
  },
  async target(_cx, location) {
    const [, path = '', tag] = /^oci:([^:]*)(?::([^:]*))?$/.exec(location) ?? []
    return { target: await openLayout(path, { create: true }), name: tag }
  },
}

function run(dockerfile: string, options: Partial<BuildOptions> = {}): Promise<BuildResult> {
  write({ Dockerfile: dockerfile })
  return build(cx, { store, places, context, cwd: '/', ...options })
}

interface CacheRecordText {
  layer: { digest: string; diffID: string; treeDigest: string }
}

/** The records of a cache that is a layout. */
function recordsOf(path: string): CacheRecordText[] {
  let found: CacheRecordText[] = []
  tamper(path, (records) => (found = records))
  return found
}

/** Changes what a cache says: all that names its config is made to fit. */
function tamper(path: string, change: (records: CacheRecordText[], document: Record<string, unknown>) => void): void {
  const put = (value: unknown): { digest: string; size: number } => {
    const bytes = Buffer.from(JSON.stringify(value))
    const hex = createHash('sha256').update(bytes).digest('hex')
    writeFileSync(join(path, 'blobs/sha256', hex), bytes)
    return { digest: `sha256:${hex}`, size: bytes.length }
  }
  const get = (digest: string): never => JSON.parse(readFileSync(join(path, 'blobs/sha256', digest.slice(7)), 'utf8')) as never
  const index = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as { manifests: { digest: string; size: number }[] }
  const manifest = get(index.manifests[0]!.digest) as { config: { digest: string; size: number } }
  const config = get(manifest.config.digest) as { 'stave.cache': { records: CacheRecordText[] } & Record<string, unknown> }
  change(config['stave.cache'].records, config['stave.cache'])
  Object.assign(manifest.config, put(config))
  Object.assign(index.manifests[0]!, put(manifest))
  writeFileSync(join(path, 'index.json'), JSON.stringify(index))
}

/** The layer of a cache in a layout that is a cache mount. */
function mountLayerOf(path: string): string {
  const read = (name: string): { manifests?: { digest: string }[]; layers?: { digest: string; annotations?: object }[] } =>
    JSON.parse(readFileSync(join(path, name), 'utf8')) as never
  const { layers = [] } = read(`blobs/sha256/${read('index.json').manifests![0]!.digest.slice(7)}`)
  return layers.find(({ annotations }) => annotations !== undefined && 'stave.cache.mount' in annotations)!.digest
}

const states = (result: BuildResult): string[] => result.steps.filter(({ title }) => !title.includes('FROM')).map(({ state }) => state)

/** The files of a result: `tar -tv` without dates. */
async function files(dockerfile: string, options: Partial<BuildOptions> = {}): Promise<string[]> {
  const dest = join(root, 'out.tar')
  await run(dockerfile, { ...options, outputs: [{ type: 'tar', dest }] })
  const list = execFileSync('tar', ['--numeric-owner', '-tvf', dest], { encoding: 'utf8' })
  return list
    .trim()
    .split('\n')
    .map((line) => line.replace(/^(\S+)\s+(\S+)\s+\S+\s+\S+\s+\S+\s+(.*)$/, '$1 $2 $3'))
}

async function content(dockerfile: string, name: string, options: Partial<BuildOptions> = {}): Promise<string> {
  const dest = join(root, 'out.tar')
  await run(dockerfile, { ...options, outputs: [{ type: 'tar', dest }] })
  return execFileSync('tar', ['-xOf', dest, name], { encoding: 'utf8' })
}

const output = (): string => events.map((event) => (event.type === 'log' ? event.text : '')).join('')

describe.skipIf(reason !== undefined)(`build${reason === undefined ? '' : `: skipped, because ${reason}`}`, () => {
  test('builds, and the second time executes nothing and gives the same image', async () => {
    write({ 'a.txt': 'file a\n', 'b.txt': 'file b\n' })
    const dockerfile = `FROM busybox
ENV A=1
WORKDIR /app
COPY a.txt /app/
RUN echo one $A > one && cat a.txt
COPY b.txt /app/
RUN cat one b.txt > two
LABEL x=y
CMD ["cat", "/app/two"]
`
    const first = await run(dockerfile, { tags: ['demo'] })
    expect(states(first)).toEqual(['done', 'done', 'done', 'done', 'done'])
    expect(output()).toBe('file a\n')
    const image = await openImage(cx, store, await store.resolve(cx, 'demo'))
    expect(await validate(cx, image)).toEqual([])
    const config = await image.config(cx)
    expect(config).toMatchObject({
      architecture: 'amd64',
      config: { WorkingDir: '/app', Cmd: ['cat', '/app/two'], Labels: { x: 'y' }, Env: ['PATH=/bin', 'A=1'] },
    })
    expect(config.history?.filter((line) => line.empty_layer !== true)).toHaveLength(config.rootfs.diff_ids.length)
    expect(config.history?.at(-1)).toMatchObject({
      created_by: 'CMD ["cat" "/app/two"]',
      empty_layer: true,
      comment: 'stave.dockerfile.v0',
    })
    const second = await run(dockerfile, { tags: ['demo'] })
    expect(states(second)).toEqual(['cached', 'cached', 'cached', 'cached', 'cached'])
    expect(second.descriptor).toEqual(first.descriptor)
    expect(await content(dockerfile, 'app/two')).toBe('one 1\nfile b\n')
  })

  test('the cache survives the process, and does not look at times', async () => {
    write({ 'd/a': 'A' })
    const dockerfile = 'FROM busybox\nCOPY d /d\nRUN ls /d > /list\n'
    await run(dockerfile)
    await store[Symbol.asyncDispose]()
    store = await open(root)
    utimesSync(join(context, 'd/a'), 1, 1)
    expect(states(await run(dockerfile))).toEqual(['cached', 'cached'])
    write({ 'd/a': 'B' })
    expect(states(await run(dockerfile))).toEqual(['done', 'done'])
  })

  test('early cut-off: a step that leaves what it left before does not invalidate what follows', async () => {
    const dockerfile = (comment: string): string => `FROM busybox\nRUN echo same > /x # ${comment}\nRUN cat /x > /y\nRUN cat /y > /z\n`
    await run(dockerfile('one'))
    expect(states(await run(dockerfile('two')))).toEqual(['done', 'cached', 'cached'])
  })

  test('a record says when each step began, and which steps it was made of', async () => {
    const before = Date.now()
    const { steps } = await run('FROM busybox\nRUN sleep 0.2\nRUN echo 2 > /2\n')
    const [first, second] = steps.filter(({ title }) => title.includes('RUN'))
    expect(second!.parents).toEqual([first!.id])
    expect(Date.parse(first!.startedAt)).toBeGreaterThanOrEqual(before - 1)
    expect(Date.parse(second!.startedAt) - Date.parse(first!.startedAt)).toBeGreaterThanOrEqual(190)
    expect(Date.parse(second!.startedAt) + second!.durationMs).toBeLessThanOrEqual(Date.now() + 1)
  })

  test('stages: what is not needed is not built, what is needed twice is built once', async () => {
    const result = await run(`FROM busybox AS base
RUN echo base >> /count
FROM base AS one
RUN echo one > /one
FROM base AS two
RUN echo two > /two
FROM base AS unused
RUN false
FROM scratch
COPY --from=one /one /count /
COPY --from=two /two /
`)
    expect(result.steps.map(({ title }) => title).filter((title) => title.includes('RUN'))).toHaveLength(3)
    const image = await openImage(cx, store, result.descriptor as never)
    expect((await image.layers(cx)).length).toBe(2)
  })

  test('independent stages run side by side', async () => {
    const started = performance.now()
    await run(
      `FROM busybox AS one\nRUN sleep 1\nFROM busybox AS two\nRUN sleep 1 && true\nFROM scratch\nCOPY --from=one /etc/passwd /1\nCOPY --from=two /etc/passwd /2\n`,
      { jobs: 2 },
    )
    expect(performance.now() - started).toBeLessThan(1900)
  })

  test('a RUN that fails: its command, exit code, last lines and place', async () => {
    const failure = run('FROM busybox\nRUN echo fine\nRUN echo last words >&2; exit 3\n')
    await expect(failure).rejects.toMatchObject({
      code: 'build-failed',
      message: expect.stringMatching(/exit 3.*exit code 3/),
      span: { line: 3 },
      text: expect.stringContaining('FROM busybox'),
      cause: expect.objectContaining({ message: expect.stringContaining('last words') }),
    })
    await expect(run('FROM busybox\nRUN ["/none"]\n')).rejects.toMatchObject({ code: 'command-not-found', span: { line: 2 } })
    expect(readdirSync(join(root, 'cache/running'))).toEqual([])
  })

  test('a source that is missing, and one that is excluded', async () => {
    write({ '.dockerignore': '# c\n*.log\n!keep.log\n', 'a.log': '1', 'keep.log': '2' })
    await expect(run('FROM busybox\nCOPY a.log /\n')).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(/"a.log".*excluded by .*\.dockerignore line 2/),
      span: { line: 2 },
    })
    await expect(run('FROM busybox\nCOPY keep.log nope /x/\n')).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('"nope"'),
      span: { line: 2 },
    })
    expect(await content('FROM scratch\nCOPY *.log /\n', 'keep.log')).toBe('2')
  })

  test('a wildcard that matches nothing is a warning', async () => {
    write({ a: 'x' })
    await run('FROM scratch\nCOPY a b* /\n')
    expect(events).toContainEqual(expect.objectContaining({ type: 'warning', message: expect.stringContaining('"b*"'), line: 2 }))
  })

  test('owners and modes: names of the image, numbers, created parents, unknown users', async () => {
    write({ f: 'x' })
    const list = await files(`FROM busybox
COPY --chown=app f /one/
COPY --chown=1000 --chmod=640 f /two/
COPY --chown=app:extra f /three/
COPY f /four/
`)
    expect(list).toEqual(
      expect.arrayContaining([
        expect.stringContaining('1000/1000 one/f'),
        '-rw-r----- 1000/1000 two/f',
        expect.stringContaining('1000/2000 three/f'),
        expect.stringContaining('0/0 four/f'),
      ]),
    )
    expect(list).toContain('drwxr-xr-x 1000/1000 one/')
    await expect(run('FROM busybox\nCOPY --chown=nobodyknows f /x\n')).rejects.toMatchObject({ code: 'not-found', span: { line: 2 } })
  })

  test('WORKDIR belongs to the user; where it is there already, it makes no layer', async () => {
    const dockerfile = 'FROM busybox\nUSER app\nWORKDIR /made/deep\nWORKDIR /made/deep\nWORKDIR /etc\nRUN true\n'
    expect((await files(dockerfile)).filter((line) => line.includes('made'))).toEqual([
      'drwxr-xr-x 1000/1000 made/',
      'drwxr-xr-x 1000/1000 made/deep/',
    ])
    const image = await openImage(cx, store, (await run(dockerfile)).descriptor as never)
    const config = await image.config(cx)
    expect(config.rootfs.diff_ids).toHaveLength(4)
    expect(
      config.history?.filter(({ created_by }) => created_by?.startsWith('WORKDIR')).map(({ empty_layer }) => empty_layer ?? false),
    ).toEqual([false, true, true])
  })

  test('ARG and ENV reach RUN, and HOME the user', async () => {
    const dockerfile = 'FROM busybox\nARG V=1\nENV E=$V\nUSER app\nRUN echo "$V $E $HOME $(id -u):$(id -g) $(id -G)"\n'
    await run(dockerfile, { buildArgs: { V: 'two' } })
    expect(output()).toBe('two two /data 1000:1000 1000 2000\n')
  })

  test('mounts: context, stage, cache, tmpfs, secret', async () => {
    write({ 'src/in': 'from the context\n', k: 's3cret-value' })
    const dockerfile = `FROM busybox AS tool
RUN echo from a stage > /out
FROM busybox
RUN --mount=target=/ctx,source=src --mount=type=bind,from=tool,source=/out,target=/tool --mount=type=tmpfs,target=/t \\
    cat /ctx/in /tool && touch /t/gone
RUN --mount=type=cache,target=/c echo x >> /c/n && wc -l < /c/n
RUN --mount=type=secret,id=k --mount=type=secret,id=k,env=K,target=/other cat /run/secrets/k /other && echo $K && echo done
RUN --mount=type=secret,id=missing echo none > /none
`
    const options = { secrets: [{ id: 'k', file: join(context, 'k') }] }
    const result = await run(dockerfile, options)
    expect(output()).toContain('from the context\nfrom a stage\n1\n')
    expect(output()).not.toContain('s3cret')
    expect(output()).toContain('****')
    const logs = readdirSync(result.logs)
      .filter((name) => name.endsWith('.log'))
      .map((name) => readFileSync(join(result.logs, name), 'utf8'))
      .join('')
    expect(logs).toContain('done')
    expect(logs).not.toContain('s3cret')
    const image = await openImage(cx, store, result.descriptor as never)
    expect(Buffer.from(await image.rawConfig(cx)).toString()).not.toContain('s3cret')
    events = []
    const again = await run(dockerfile.replace('echo x', 'echo y'), options)
    expect(output()).toContain('2\n')
    // What a mount covers leaves no trace: the steps after it found what they had left.
    expect(states(again).filter((state) => state === 'done')).toHaveLength(1)
    const list = (await files(dockerfile, options)).join('\n')
    for (const trace of ['run/secrets', 'ctx', 't/gone', ' c/', 'other', 'etc/resolv.conf', 'etc/hosts'])
      expect(list).not.toContain(` ${trace.trim()}`)
    await expect(run('FROM busybox\nRUN --mount=type=secret,id=no,required true\n')).rejects.toMatchObject({
      code: 'secret-missing',
      span: { line: 2 },
    })
  })

  test('networks, hosts and proxies', async () => {
    const dockerfile = `FROM busybox
RUN --network=none ls /sys/class/net | tr '\\n' ' ' && cat /etc/hosts
RUN grep example.test /etc/hosts && echo $HTTP_PROXY $http_proxy
`
    const addHosts = [{ host: 'example.test', address: '192.0.2.7' }]
    const result = await run(dockerfile, { addHosts, proxy: { HTTP_PROXY: 'http://proxy.test:1' } })
    expect(output()).toMatch(/^lo /)
    expect(output()).toContain('192.0.2.7\texample.test')
    expect(output()).toContain('http://proxy.test:1 http://proxy.test:1')
    const image = await openImage(cx, store, result.descriptor as never)
    expect(Buffer.from(await image.rawConfig(cx)).toString()).not.toContain('proxy.test')
    // Neither a proxy nor the address of a host is part of the key.
    const again = await run(dockerfile, { addHosts: [{ host: 'example.test', address: '192.0.2.8' }] })
    expect(states(again)).toEqual(['cached', 'cached'])
  })

  test('a file changes its mode, and then only its time', async () => {
    write({ f: 'x' })
    await run('FROM scratch\nCOPY f /f\n')
    chmodSync(join(context, 'f'), 0o755)
    expect(states(await run('FROM scratch\nCOPY f /f\n'))).toEqual(['done'])
    chmodSync(join(context, 'f'), 0o600)
    await run('FROM scratch\nCOPY --chmod=644 f /g\n')
    chmodSync(join(context, 'f'), 0o640)
    expect(states(await run('FROM scratch\nCOPY --chmod=644 f /g\n'))).toEqual(['cached'])
  })

  test('heredocs: a script of its own, files', async () => {
    const dockerfile = `FROM busybox
ENV N=1
RUN <<EOF
echo one >> /x
echo $N >> /x
EOF
RUN <<EOF
#!/bin/cat
by its own interpreter
EOF
COPY <<A <<"B" /d/
a $N
A
b $N
B
`
    expect(await content(dockerfile, 'x')).toBe('one\n1\n')
    expect(output()).toContain('by its own interpreter')
    expect(await content(dockerfile, 'd/A')).toBe('a 1\n')
    expect(await content(dockerfile, 'd/B')).toBe('b $N\n')
  })

  test('COPY --link does not need what is below it', async () => {
    write({ f: 'x' })
    await run('FROM busybox\nRUN echo 1 > /one\nCOPY --link f /f\n')
    expect(states(await run('FROM busybox\nRUN echo 2 > /one\nCOPY --link f /f\n'))).toEqual(expect.arrayContaining(['done', 'cached']))
  })

  test('ADD unpacks archives by their content', async () => {
    write({ 'in/file': 'packed' })
    execFileSync('tar', ['-czf', join(context, 'noname'), '-C', join(context, 'in'), 'file'])
    expect(await content('FROM scratch\nADD noname /o\n', 'o/file')).toBe('packed')
    expect((await files('FROM scratch\nCOPY noname /o\n')).some((line) => line.endsWith(' o'))).toBe(true)
  })

  test('reproducible: with SOURCE_DATE_EPOCH two stores give the same bytes', async () => {
    write({ 'd/f': 'x' })
    const dockerfile = 'FROM scratch\nCOPY d /d\nWORKDIR /w\nCOPY <<X /h\nh\nX\nENV A=1\n'
    const first = await run(dockerfile, { epoch: 1_700_000_000 })
    await elsewhere(async (second) => {
      utimesSync(join(context, 'd/f'), Date.now() / 1000, Date.now() / 1000)
      const again = await build(cx, { store: second, places, context, cwd: '/', epoch: 1_700_000_000, jobs: 1 })
      expect(again.descriptor).toEqual(first.descriptor)
      const image = await openImage(cx, second, again.descriptor as never)
      expect((await image.config(cx)).created).toBe('2023-11-14T22:13:20.000Z')
    })
  })

  test('SOURCE_DATE_EPOCH=context: what the server of the context says; a directory has no time', async () => {
    const tar = execFileSync('tar', ['-cf', '-', '-C', root, '--files-from', '/dev/null'])
    write({ 'times/older': 'a', 'times/newer': 'b' })
    utimesSync(join(context, 'times/older'), 1_600_000_000, 1_600_000_000)
    utimesSync(join(context, 'times/newer'), 1_700_000_000, 1_700_000_000)
    const untimed = execFileSync('tar', ['-cf', '-', '-C', context, 'times'])
    const asked: unknown[] = []
    const server = createServer((request, response) => {
      asked.push(request.headers['http_proxy'])
      const body = request.url?.includes('gzip') ? gzipSync(untimed) : request.url?.includes('untimed') ? untimed : tar
      response.writeHead(200, request.url?.includes('untimed') ? {} : { 'last-modified': 'Tue, 14 Nov 2023 22:13:20 GMT' }).end(body)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/c.tar`
      const stdin = [Buffer.from('FROM scratch\nWORKDIR /a\n')] as never
      const proxy = { HTTP_PROXY: 'http://user:secret@proxy.example' }
      const result = await build(cx, { store, places, context: url, cwd: '/', file: '-', stdin, epoch: 'context', proxy })
      const image = await openImage(cx, store, result.images[0]!.descriptor)
      expect((await image.config(cx)).created).toBe('2023-11-14T22:13:20.000Z')
      expect(asked).toEqual([undefined])
      const stage = `FROM scratch AS src\nADD ${url} /\nFROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL at=$SOURCE_DATE_EPOCH\n`
      for (const [word, options] of [
        // The newest file of an archive, where the server says nothing.
        ['old', { buildContexts: { old: `${url}?untimed` } }],
        ['packed', { buildContexts: { packed: `${url}?untimed&gzip` } }],
        ['SRC', {}],
        ['Named', { buildContexts: { named: url } }],
        ['CONTEXT', { context: url, file: '-', stdin: [Buffer.from(stage)] as never }],
      ] as const) {
        const { images } = await run(stage, { buildArgs: { SOURCE_DATE_EPOCH: word }, ...options })
        expect((await (await openImage(cx, store, images[0]!.descriptor)).config(cx)).config?.Labels).toEqual({ at: '1700000000' })
      }
    } finally {
      server.close()
    }
    const args = 'ARG SOURCE_DATE_EPOCH\nLABEL at=[$SOURCE_DATE_EPOCH]\n'
    const result = await run(`FROM scratch\n${args}`, { buildArgs: { SOURCE_DATE_EPOCH: 'context' } })
    const image = await openImage(cx, store, result.images[0]!.descriptor)
    expect((await image.config(cx)).config?.Labels).toEqual({ at: '[]' })
    expect(events).toContainEqual(expect.objectContaining({ type: 'warning', message: expect.stringContaining('context has no time') }))
  })

  test.each([
    ['FROM scratch', 'x', /no number of seconds/, undefined],
    ['FROM scratch AS srce\nFROM scratch', 'src', /no number of seconds/, /Did you mean srce/],
    ['FROM busybox AS src\nADD http://127.0.0.1/x /\nFROM scratch', 'src', /it is not FROM scratch/, /one ADD/],
    ['FROM scratch AS src\nADD x /\nFROM scratch', 'src', /exactly one ADD/, /one ADD/],
    ['FROM scratch AS src\nADD http://127.0.0.1/x http://127.0.0.1/y /\nFROM scratch', 'src', /exactly one ADD/, /one ADD/],
    ['FROM scratch AS src\nADD http://127.0.0.1/x /\nLABEL a=b\nFROM scratch', 'src', /it has a LABEL/, /one ADD/],
  ])('%j with SOURCE_DATE_EPOCH=%s is an error', async (text, word, message, hint) => {
    await expect(run(`${text}\n`, { buildArgs: { SOURCE_DATE_EPOCH: word } })).rejects.toMatchObject({
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint ?? /git log/),
    })
  })

  test('the name of the machine in RUN', async () => {
    await run('FROM busybox\nRUN hostname\n')
    await run('FROM busybox\nRUN hostname; cat /etc/hostname\n', { buildArgs: { BUILDKIT_SANDBOX_HOSTNAME: 'other' } })
    expect(output()).toBe('buildkitsandbox\nother\nother\n')
  })

  test('output: a directory', async () => {
    write({ f: 'x' })
    const dest = join(root, 'out')
    const result = await run('FROM scratch\nCOPY f /a/b\n', { outputs: [{ type: 'local', dest }] })
    expect(readFileSync(join(dest, 'a/b'), 'utf8')).toBe('x')
    expect(result.descriptor).toBeUndefined()
  })

  test('output: an OCI layout with a name, whole', async () => {
    write({ f: 'x' })
    const result = await run('FROM busybox\nCOPY f /f\n', {
      outputs: [{ type: 'oci', dest: join(root, 'layout'), tar: false }],
      tags: ['x:1'],
    })
    const layout = await openLayout(join(root, 'layout'))
    expect(await validate(cx, await openImage(cx, layout, result.descriptor as never))).toEqual([])
  })

  test('a remote cache: another store finds all, and unpacks nothing that nobody looks at', async () => {
    const dockerfile =
      'FROM busybox AS b\nRUN echo built > /out\nRUN echo more > /more\nFROM busybox\nCOPY --from=b /out /out\nRUN cat /out > /two\n'
    const path = join(root, 'cache-layout')
    const first = await run(dockerfile, { cacheTo: [{ type: 'local', path, mode: 'max' }] })
    await elsewhere(async (second, other) => {
      const again = await build(cx, { store: second, places, context, cwd: '/', cacheFrom: [{ type: 'local', path }] })
      expect(states(again)).toEqual(['cached', 'cached', 'cached', 'cached'])
      expect(again.descriptor).toEqual(first.descriptor)
      expect(existsSync(join(other, 'snapshots'))).toBe(false)
    })
  })

  describe('a remote cache without the layers of earlier stages', () => {
    const dockerfile = (last: string) => `FROM busybox AS b
RUN echo built > /out
RUN echo more > /more && cat /out
FROM b AS c
RUN echo c > /c
FROM busybox
COPY --from=b /out /one
COPY --link --from=c /c /see
${last}
`
    const same = dockerfile('RUN cat /one > /two')
    const path = () => join(root, 'cache-layout')
    const again = (store: LocalStore, text: string, options: Partial<BuildOptions> = {}): Promise<BuildResult> =>
      run(text, { store, cacheFrom: [{ type: 'local', path: path() }], ...options })

    test.each([
      ['mode=min', { cacheTo: [{ type: 'local', path: '', mode: 'min' }] }],
      ['inline', { cacheTo: [{ type: 'inline' }], tags: ['x:latest'], outputs: [{ type: 'oci', dest: '', tar: false }] }],
    ] as const)('%s: all steps are found, and their layers are not there', async (name, options) => {
      const filled = JSON.parse(JSON.stringify(options).replaceAll('""', JSON.stringify(path()))) as Partial<BuildOptions>
      const first = await run(same, filled)
      // Three layers of the last stage, config and manifest; an image has those of its base, too.
      expect(readdirSync(join(path(), 'blobs/sha256'))).toHaveLength(name === 'inline' ? 7 : 5)
      await elsewhere(async (second, other) => {
        const result = await again(second, same)
        expect(states(result)).toEqual(Array.from({ length: 6 }, () => 'cached'))
        expect(result.images[0]?.descriptor.digest === first.images[0]?.descriptor.digest).toBe(name !== 'inline')
        expect(existsSync(join(other, 'snapshots'))).toBe(false)
      })
    })

    test('what was found only by name is executed when something looks at it, one step at a time too', async () => {
      await run(same, { cacheTo: [{ type: 'local', path: path() }] })
      for (const jobs of [1, 4]) {
        await elsewhere(async (second) => {
          const dest = join(root, 'out.tar')
          const result = await again(second, dockerfile('COPY --from=b /more /three'), { jobs, outputs: [{ type: 'tar', dest }] })
          expect(execFileSync('tar', ['-xOf', dest, 'one', 'see', 'three'], { encoding: 'utf8' })).toBe('built\nc\nmore\n')
          expect(states(result).toSorted()).toEqual(['cached', 'cached', 'cached', 'done', 'done', 'done'])
          expect(new Set(result.steps.map(({ id }) => id)).size).toBe(result.steps.length)
        })
      }
    })

    test('an earlier stage is built after all where it is the result', async () => {
      await run(same, { cacheTo: [{ type: 'local', path: path() }] })
      await elsewhere(async (second) => {
        const dest = join(root, 'out.tar')
        const result = await again(second, same, { target: 'c', outputs: [{ type: 'tar', dest }] })
        expect(states(result)).toEqual(['done', 'done', 'done'])
        expect(execFileSync('tar', ['-xOf', dest, 'c', 'more'], { encoding: 'utf8' })).toBe('c\nmore\n')
      })
    })

    test('names are passed on from cache to cache', async () => {
      await run(same, { cacheTo: [{ type: 'local', path: path() }] })
      const onward = join(root, 'onward')
      await elsewhere(async (second) => void (await again(second, same, { cacheTo: [{ type: 'local', path: onward, mode: 'max' }] })))
      await elsewhere(async (third) => {
        const result = await again(third, same, { cacheFrom: [{ type: 'local', path: onward }] })
        expect(states(result)).toEqual(Array.from({ length: 6 }, () => 'cached'))
      })
    })

    test('a name that lies leads to no other result', async () => {
      await run(same, { cacheTo: [{ type: 'local', path: path() }] })
      tamper(path(), (records) => records.forEach((record) => (record.layer.treeDigest = `sha256:${'0'.repeat(64)}`)))
      await elsewhere(async (second) => {
        const dest = join(root, 'out.tar')
        await again(second, same, { outputs: [{ type: 'tar', dest }] })
        expect(execFileSync('tar', ['-xOf', dest, 'see', 'two'], { encoding: 'utf8' })).toBe('c\nbuilt\n')
      })
    })

    test('a step that fails now, and was promised, fails the build with its line', async () => {
      const text = (last: string) =>
        `FROM busybox AS b\nRUN test -z "$HTTP_PROXY" && echo b > /out\nFROM busybox\nCOPY --from=b /out /one\n${last}`
      await run(text(''), { cacheTo: [{ type: 'local', path: path() }] })
      await elsewhere(async (second) => {
        const failing = again(second, text('COPY --from=b /bin /copy\n'), { buildArgs: { HTTP_PROXY: 'http://127.0.0.1:1' } })
        await expect(failing).rejects.toMatchObject({
          code: 'build-failed',
          span: { line: 2 },
        })
      })
    })
  })

  describe('a cache that lies', () => {
    const dockerfile = 'FROM busybox\nRUN echo built > /out\nRUN cat /out > /two\n'
    let path: string
    beforeEach(() => {
      path = join(root, 'cache-layout')
    })

    /** Builds with it in another store, and wants to be told, and a correct image. */
    async function buildWithIt(): Promise<void> {
      await elsewhere(async (second) => {
        const cacheFrom = [{ type: 'local', path } as const]
        const dest = join(root, 'lied.tar')
        await build(cx, { store: second, places, context, cwd: '/', cacheFrom, outputs: [{ type: 'tar', dest }] })
        expect(execFileSync('tar', ['-xOf', dest, 'two'], { encoding: 'utf8' })).toBe('built\n')
        const again = await build(cx, { store: second, places, context, cwd: '/', cacheFrom })
        expect(await validate(cx, await openImage(cx, second, again.descriptor as never))).toEqual([])
      })
    }
    const warned = (): unknown => expect.objectContaining({ type: 'warning', message: expect.stringContaining('remote cache') })

    test('blobs that are others than their names', async () => {
      const first = await run(dockerfile, { cacheTo: [{ type: 'local', path, mode: 'max' }] })
      const image = await openImage(cx, store, first.descriptor as never)
      for (const { descriptor } of (await image.layers(cx)).slice(1))
        writeFileSync(join(path, 'blobs/sha256', descriptor.digest.slice(7)), Buffer.alloc(descriptor.size))
      await buildWithIt()
      expect(events).toContainEqual(warned())
    })

    test('the layer of another step', async () => {
      await run(dockerfile, { cacheTo: [{ type: 'local', path, mode: 'max' }] })
      tamper(path, (records) => {
        const [one, two] = records
        one!.layer.digest = two!.layer.digest
      })
      await buildWithIt()
      expect(events).toContainEqual(warned())
    })

    test('what is no layer, as far as images without looking at trees', async () => {
      await run(dockerfile, { cacheTo: [{ type: 'local', path, mode: 'max' }] })
      tamper(path, (records) => records.forEach(({ layer }) => (layer.diffID = `sha256:${'0'.repeat(64)}`)))
      await elsewhere(async (second) => {
        const again = await build(cx, { store: second, places, context, cwd: '/', cacheFrom: [{ type: 'local', path }] })
        expect(states(again)).toEqual(['done', 'done'])
        expect(events).toContainEqual(warned())
        expect(await validate(cx, await openImage(cx, second, again.descriptor as never))).toEqual([])
      })
    })

    test('a tree that is that of an earlier build of this store: its results are not taken for it', async () => {
      const earlier = dockerfile.replace('built', 'other')
      const honest = await run(earlier, { cacheTo: [{ type: 'local', path: join(root, 'honest'), mode: 'max' }] })
      expect(states(honest)).toEqual(['done', 'done'])
      await elsewhere(async (second) => {
        await run(dockerfile, { store: second, cacheTo: [{ type: 'local', path, mode: 'max' }] })
      })
      const digest = recordsOf(join(root, 'honest'))[0]!.layer.treeDigest
      tamper(path, (records) => {
        records.length = 1
        records[0]!.layer.treeDigest = digest
      })
      const cacheFrom = [{ type: 'local', path } as const]
      expect(await content(dockerfile, 'two', { cacheFrom })).toBe('built\n')
      expect(events.filter((event) => event.type === 'step' && event.state === 'cached' && event.title.includes('built'))).toHaveLength(1)
      // And nothing of what it said is left in this store.
      expect(await content(earlier, 'two')).toBe('other\n')
      expect(await content(dockerfile, 'two')).toBe('built\n')
    })

    test('things that are no records', async () => {
      await run(dockerfile, { cacheTo: [{ type: 'local', path, mode: 'max' }] })
      tamper(path, (records, document) => {
        records.push(null as never, {} as never, { ...records[0]!, layer: { digest: '../../etc/passwd' } as never })
        document.selections = { x: 'y', [`sha256:${'1'.repeat(64)}`]: 3 }
      })
      await buildWithIt()
    })
  })

  test('a cache that stands still while it is written costs a warning', async () => {
    const standstill: BuildOptions['places'] = {
      ...places,
      async target() {
        const layout = await openLayout(join(root, 'stuck'), { create: true })
        const has = ({ signal }: { signal: AbortSignal }) =>
          new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
        return { target: { ...layout, has }, name: 'x' }
      },
    }
    const cacheTo = [{ type: 'registry', ref: 'stuck', optional: true }] as const
    await run('FROM busybox\nRUN echo 1 > /1\n', { places: standstill, cacheTo, cacheTimeoutMs: 50 })
    expect(events).toContainEqual(expect.objectContaining({ type: 'warning', hint: 'there was no progress for 0.15 s' }))
  })

  test('cache mounts travel with a remote cache that was asked to have them', async () => {
    const mount = '--mount=type=cache,target=/c,uid=5,mode=0750'
    const dockerfile = (step: number): string =>
      `FROM busybox\nRUN ${mount} echo ${step} >> /c/n; chown 7 /c/n; stat -c '%u %a' /c /c/n; cat /c/n\n`
    const path = join(root, 'cache-layout')
    const cacheTo = [{ type: 'local', path, mounts: true } as const]
    const cacheFrom = [{ type: 'local', path } as const]
    await run(dockerfile(1), { cacheTo })
    await elsewhere(async (second) => {
      // All is cached: the mount is not made, and yet it goes on.
      await run(dockerfile(1), { store: second, cacheFrom, cacheTo })
    })
    await elsewhere(async (second) => {
      events = []
      await run(dockerfile(2), { store: second, cacheFrom, cacheTo })
      expect(output()).toBe('5 750\n7 644\n1\n2\n')
    })
    // A blob that is gone: a warning, and an empty mount.
    rmSync(join(path, 'blobs/sha256', mountLayerOf(path).slice(7)))
    await elsewhere(async (second) => {
      events = []
      await run(dockerfile(3), { store: second, cacheFrom })
      expect(output()).toBe('5 750\n7 644\n3\n')
      expect(events).toContainEqual(expect.objectContaining({ type: 'warning', message: expect.stringContaining('cache mount') }))
    })
  })

  test('two builds at once: equal steps run once', async () => {
    const mount = '--mount=type=cache,target=/c'
    const dockerfile = `FROM busybox\nRUN ${mount} sleep 0.3; echo x >> /c/n\nRUN ${mount} sleep 0.3; echo x >> /c/n; wc -l < /c/n\n`
    const other = await open(root)
    try {
      write({ Dockerfile: dockerfile })
      const options = { places, context, cwd: '/' }
      await Promise.all([build(cx, { store, ...options }), build(cx, { store: other, ...options })])
      expect(output()).toBe('2\n')
    } finally {
      await other[Symbol.asyncDispose]()
    }
  })

  test('a context from standard input: a tar, or a Dockerfile alone', async () => {
    write({ f: 'from the tar', Dockerfile: 'FROM scratch\nCOPY f /f\n' })
    const tar = execFileSync('tar', ['-cf', '-', '-C', context, '.'])
    const dest = join(root, 'o')
    await build(cx, { store, places, context: '-', cwd: '/', stdin: [tar] as never, outputs: [{ type: 'local', dest }] })
    expect(readFileSync(join(dest, 'f'), 'utf8')).toBe('from the tar')
    const result = await build(cx, { store, places, context: '-', cwd: '/', stdin: [Buffer.from('FROM scratch\nENV A=1\n')] as never })
    expect(result.images).toHaveLength(1)
  })

  test('ONBUILD of an image that was built before', async () => {
    write({ f: 'x' })
    await run('FROM busybox\nONBUILD COPY f /triggered\nONBUILD RUN cat /triggered > /ran\n', { tags: ['parent'] })
    expect(await content('FROM parent\nRUN cat /ran > /mine\n', 'mine')).toBe('x')
  })

  test('symbolic links: in a source path, in the destination', async () => {
    write({ 'd/real': 'x' })
    symlinkSync('real', join(context, 'd/link'))
    const list = await files('FROM busybox\nRUN mkdir /target && ln -s /target /way\nCOPY d/link /way/copied\nCOPY d /dir\n')
    expect(list).toEqual(expect.arrayContaining([expect.stringContaining('target/copied'), expect.stringContaining('dir/link -> real')]))
    expect(list.some((line) => line.includes('way/copied'))).toBe(false)
  })

  test('provenance and SBOM refer to the image', async () => {
    const dockerfile = 'FROM busybox\nARG P=x\nCOPY <<S /var/lib/dpkg/status\nPackage: demo\nVersion: 1\nS\n'
    const asked = { provenance: 'max', sbom: true, attestStorage: 'referrers' } as const
    const result = await run(dockerfile, { ...asked, tags: ['attested'], buildArgs: { P: 'y' }, labels: { l: 'm' } })
    const referrers = (await store.referrers?.(cx, result.descriptor?.digest as never)) ?? []
    expect(referrers.map(({ annotations }) => annotations?.['in-toto.io/predicate-type']).sort()).toEqual([
      'https://slsa.dev/provenance/v1',
      'https://spdx.dev/Document',
    ])
    const statements: string[] = []
    for (const referrer of referrers) {
      const { layers } = JSON.parse(Buffer.from(await store.blobs.read(referrer.digest, 1e6)).toString()) as { layers: [{ digest: never }] }
      statements.push(Buffer.from(await store.blobs.read(layers[0].digest, 1e7)).toString())
    }
    expect(statements.join('\n')).toContain('pkg:docker/busybox')
    expect(statements.join('\n')).toContain('"args":{"build-arg:P":"y","label:l":"m"}')
    expect(statements.join('\n')).not.toContain(context)
    expect(statements.join('\n')).toContain('demo@1')

    // With a time of its own, one build is as the other, and so is what is said of it.
    const epoch = { ...asked, epoch: 1 }
    const one = await run(dockerfile, epoch)
    await run(dockerfile, { ...epoch, noCache: true })
    expect(await store.referrers?.(cx, one.descriptor?.digest as never)).toHaveLength(2)
  })

  test('provenance and SBOM beside the image in its index, and as files', async () => {
    const dockerfile = 'FROM busybox\nCOPY <<S /var/lib/dpkg/status\nPackage: demo\nVersion: 1\nS\n'
    const layout = join(root, 'layout')
    const dest = join(root, 'files')
    const outputs = [
      { type: 'image' },
      { type: 'oci', dest: layout, tar: false },
      { type: 'local', dest },
      { type: 'docker', dest: `${layout}.tar` },
    ] as const
    const result = await run(dockerfile, { tags: ['attested'], provenance: 'max', sbom: true, outputs })
    const index = await readManifest(cx, store, result.descriptor as never)
    if (index.kind !== 'index') throw new Error('it is no index')
    const [image, attestation] = index.index.manifests
    expect(attestation).toMatchObject({
      platform: { os: 'unknown', architecture: 'unknown' },
      artifactType: 'application/vnd.docker.attestation.manifest.v1+json',
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': image!.digest },
    })
    const { layers, subject } = JSON.parse(Buffer.from(await store.blobs.read(attestation!.digest, 1e6)).toString())
    expect(layers).toMatchObject([
      { annotations: { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v1' } },
      { annotations: { 'in-toto.io/predicate-type': 'https://spdx.dev/Document' } },
    ])
    expect(subject.digest).toBe(image!.digest)
    // Whoever asks for the image gets it.
    expect((await openImage(cx, store, result.descriptor as never)).descriptor.digest).toBe(image!.digest)
    const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'))
    expect(manifests.map(({ digest }: { digest: string }) => digest)).toEqual([result.descriptor!.digest])
    expect(JSON.parse(readFileSync(join(dest, 'provenance.json'), 'utf8'))).toMatchObject({
      predicateType: 'https://slsa.dev/provenance/v1',
    })
    expect(readFileSync(join(dest, 'sbom.spdx.json'), 'utf8')).toContain('demo@1')
    expect(execFileSync('tar', ['-tf', `${layout}.tar`], { encoding: 'utf8' })).toContain('manifest.json')
  })

  test('--squash=all: one layer', async () => {
    const result = await run('FROM busybox\nRUN echo 1 > /kept && echo 2 > /removed\nRUN rm /removed\n', { squash: 'all' })
    const image = await openImage(cx, store, result.descriptor as never)
    expect(await image.layers(cx)).toHaveLength(1)
    expect(await validate(cx, image)).toEqual([])
  })

  test('--squash: one layer above the base, and what it hides stays hidden', async () => {
    const dockerfile = `FROM busybox AS base
RUN mkdir /d && echo 1 > /d/kept && echo 2 > /d/removed && echo 3 > /passing
FROM base
ENV A=1
RUN rm /d/removed /passing && rm /etc/passwd
COPY f /d/
`
    write({ f: 'f' })
    const options = { squash: 'new', epoch: 1_700_000_000 } as const
    const result = await run(dockerfile, options)
    const image = await openImage(cx, store, result.descriptor as never)
    const base = await openImage(cx, store, await store.resolve(cx, 'busybox'))
    const layers = await image.layers(cx)
    expect(layers.slice(0, -1)).toEqual(await base.layers(cx))
    expect(await validate(cx, image)).toEqual([])
    const list = execFileSync('tar', ['-tzf', store.blobs.path(layers.at(-1)!.descriptor.digest)], { encoding: 'utf8' })
    expect(list.trim().split('\n')).toEqual(['d/', 'd/f', 'd/kept', 'etc/', 'etc/.wh.passwd'])
    const config = await image.config(cx)
    expect(config.history?.filter((line) => line.empty_layer !== true).at(-1)).toMatchObject({ created_by: 'squash' })
    expect(config.history?.filter((line) => line.empty_layer !== true)).toHaveLength(config.rootfs.diff_ids.length)
    // The same from the cache, and from nothing.
    expect((await run(dockerfile, options)).descriptor).toEqual(result.descriptor)
    expect((await run(dockerfile, { ...options, noCache: true })).descriptor).toEqual(result.descriptor)
  })

  test('--debug: a shell in the failed step, with what it had left', async () => {
    let said = ''
    await expect(
      run('FROM busybox\nENV A=1\nRUN echo left > /x && false\n', {
        async onStop(stop) {
          expect(stop).toMatchObject({ reason: 'failed', exitCode: 1, span: { line: 3 } })
          const stdio = { stdin: 'ignore' as const, stdout: (chunk: Buffer) => void (said += chunk.toString()), stderr: 'ignore' as const }
          await stop.shell(cx, stdio, { args: ['sh', '-c', 'cat /x; echo $A'], terminal: false })
        },
      }),
    ).rejects.toMatchObject({ code: 'build-failed' })
    expect(said).toBe('left\n1\n')
  })

  test('--print: plan and keys, and nothing is executed', async () => {
    write({ f: 'x' })
    const dockerfile = 'FROM busybox\nCOPY f /f\nRUN false\n'
    const plans = (await run(dockerfile, { print: 'plan' })).printed as { steps: { title: string }[] }[]
    expect(plans[0]?.steps.map(({ title }) => title)).toEqual(['[1/3] FROM busybox', '[context]', '[2/3] COPY f /f', '[3/3] RUN false'])
    const keys = (await run(dockerfile, { print: 'keys' })).printed as { steps: { key?: string; unknown?: string }[] }[]
    expect(keys[0]?.steps.map(({ key, unknown }) => [key !== undefined, unknown !== undefined])).toEqual([
      [false, false],
      [false, false],
      [true, false],
      [false, true],
    ])
  })

  test('an imported root, with changes to the config', async () => {
    const tar = join(root, 'root.tar')
    const platform = { os: 'linux', architecture: 'amd64' }
    write({ 'r/etc/f': 'x' })
    execFileSync('tar', ['-cf', tar, '-C', join(context, 'r'), '.'])
    const changes = ['CMD ["x"]', 'ENV A=1']
    const image = await importImage(cx, {
      store,
      tar: openSync(tar, 'r'),
      title: 'root.tar',
      platform,
      changes,
      name: 'docker.io/library/imported:latest',
    })
    expect((await image.config(cx)).config).toMatchObject({ Cmd: ['x'], Env: expect.arrayContaining(['A=1']) })
    expect(await content('FROM imported\nCOPY r/etc/f /g\n', 'etc/f')).toBe('x')
    const noTar = openSync(join(context, 'r/etc/f'), 'r')
    await expect(importImage(cx, { store, tar: noTar, title: 'f', platform })).rejects.toMatchObject({ code: 'invalid-layer' })
  })

  test('a context with a fifo, a loop of links and a file that cannot be used', async () => {
    write({ 'd/f': 'x' })
    execFileSync('mkfifo', [join(context, 'd/fifo')])
    symlinkSync('loop', join(context, 'd/loop'))
    const list = await files('FROM scratch\nCOPY d /d\n')
    expect(list).toEqual(expect.arrayContaining([expect.stringContaining('d/f'), expect.stringContaining('d/loop -> loop')]))
  })

  test('cancelling ends it soon and leaves nothing running', async () => {
    const abort = new AbortController()
    write({ Dockerfile: 'FROM busybox\nRUN sleep 100\n' })
    const started = performance.now()
    setTimeout(() => abort.abort(new Error('stop')), 500)
    await expect(build({ signal: abort.signal, report() {} }, { store, places, context, cwd: '/' })).rejects.toThrow()
    expect(performance.now() - started).toBeLessThan(15_000)
    expect(readdirSync(join(root, 'cache/running'))).toEqual([])
  })
})

/** Does something with another store, as on another machine. */
async function elsewhere(work: (other: LocalStore, directory: string) => Promise<void>): Promise<void> {
  const directory = temporaryRoot()
  const other = await open(directory)
  try {
    await addBusybox(other, 'busybox')
    await work(other, directory)
  } finally {
    await other[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  }
}
