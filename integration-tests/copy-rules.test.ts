/**
 * COPY, ADD and .dockerignore where builders differ, or where one is easily caught out, rule by rule.
 * Those that can be compared with other builders are in `differential/cases/`.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop, type Outcome } from './stave.ts'

const shop = workshop('copy-rules')

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
})
afterAll(() => shop[Symbol.dispose]())

type Files = Readonly<Record<string, string>>

function context(dockerfile: string, files: Files = {}): string {
  const directory = mkdtempSync(join(shop.directory, 'context-'))
  for (const [name, text] of Object.entries({ Dockerfile: dockerfile, ...files })) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  return directory
}

interface Built extends Outcome {
  /** `tar -tv` of what was built, by name: mode, owner, and time as seconds since the epoch. */
  readonly tree: ReadonlyMap<string, string>
  /** What is in one file. */
  content(name: string): string
}

/** What `tar` says of what was built, without directories' slashes. */
function listed(tar: string, outcome: Outcome): Built {
  const { stdout } = spawnSync('tar', ['-tvf', tar, '--numeric-owner', '--full-time', '--utc'], { encoding: 'utf8' })
  const found = stdout.matchAll(/^(\S+) (\S+) +\S+ (\S+ \S+) (?:\.\/)?(.*?)\/?$/gm)
  const tree = new Map([...found].map(([, mode, owner, time, name]) => [name as string, `${mode} ${owner} ${time}`]))
  const content = (name: string): string => spawnSync('tar', ['-xOf', tar, name], { encoding: 'utf8' }).stdout
  return { ...outcome, tree, content }
}

let count = 0

function build(directory: string, ...flags: readonly string[]): Built {
  const tar = shop.path(`${count++}.tar`)
  return listed(tar, shop.stave(['build', '-q', '--output', `type=tar,dest=${tar}`, ...flags, directory]))
}

function must(dockerfile: string, files: Files = {}, ...flags: readonly string[]): Built {
  const built = build(context(dockerfile, files), ...flags)
  expect([built.status, built.stderr]).toEqual([0, expect.any(String)])
  return built
}

/** All names that were built. */
const names = (dockerfile: string, files: Files = {}): string[] => [...must(dockerfile, files).tree.keys()].filter(Boolean).sort()

function expectError(outcome: Outcome, ...said: readonly RegExp[]): void {
  expect(outcome.stderr).toMatch(/^error: /m)
  for (const text of said) expect(outcome.stderr).toMatch(text)
  expect(outcome.status).toBe(1)
}

const modeAndOwner = (built: Built, name: string): string | undefined => built.tree.get(name)?.split(' ').slice(0, 2).join(' ')

describe('sources', () => {
  test('several sources need a directory: one that is there, or a slash', () => {
    const files = { one: '1', two: '2' }
    for (const flag of ['', '--link ', '--chmod=600 '])
      expectError(build(context(`FROM scratch\nCOPY ${flag}one two /d\n`, files)), /several sources/, /Dockerfile:2/, /hint: +Write \/d\//)
    expect(names('FROM scratch\nCOPY one two /d/\n', files)).toEqual(['d', 'd/one', 'd/two'])
    expect(names('FROM scratch\nWORKDIR /d\nCOPY one two /d\n', files)).toEqual(['d', 'd/one', 'd/two'])
    expect(names('FROM busybox\nWORKDIR /d\nRUN ln -s /d /way\nCOPY one two /way\n', files)).toEqual(
      expect.arrayContaining(['d/one', 'd/two']),
    )
    expect(names('FROM scratch\nWORKDIR /d\nADD one /d\nCOPY <<x two /d\nx\n', files)).toEqual(['d', 'd/one', 'd/two', 'd/x'])
  })
  test('a wildcard that meets nothing leaves the others', () => {
    expect(names('FROM scratch\nCOPY nope* one dir\n', { one: '1' })).toEqual(['dir'])
    expect(names('FROM scratch\nCOPY nope* one dir/\n', { one: '1' })).toEqual(['dir', 'dir/one'])
  })
  test.each(['COPY "" /d', 'COPY $unset /d', 'COPY ["", "/d"]', 'ADD $unset /d/', 'COPY $unset one /d/', 'COPY --parents $unset /d/'])(
    '%s takes everything, and says so',
    (line) => {
      const built = must(`FROM scratch\n${line}\n`, { one: '1', 'sub/two': '2' })
      expect([...built.tree.keys()].filter(Boolean).sort()).toEqual(['d', 'd/Dockerfile', 'd/one', 'd/sub', 'd/sub/two'])
      expect(built.stderr).toMatch(/warning: .*Dockerfile:2: (COPY|ADD) takes everything: a source is empty/)
    },
  )
  test('quotes do not hold a name together', () => {
    expectError(build(context('FROM scratch\nCOPY "a b" /d/\n', { 'a b': 'x' })), /"a"/)
    expect(names('FROM scratch\nCOPY ["a b", "/d/"]\n', { 'a b': 'x' })).toEqual(['d', 'd/a b'])
  })
  test('** is no more than * without --parents', () => {
    const files = { 'a.txt': '', 'd/b.txt': '', 'd/e/c.txt': '' }
    expect(names('FROM scratch\nCOPY **/*.txt /x/\n', files)).toEqual(['x', 'x/b.txt'])
    expect(names('FROM scratch\nCOPY --parents **/*.txt /x/\n', files)).toEqual([
      'x',
      'x/a.txt',
      'x/d',
      'x/d/b.txt',
      'x/d/e',
      'x/d/e/c.txt',
    ])
  })
  test('a git repository is for ADD', () => {
    expectError(build(context('FROM scratch\nCOPY https://example.com/r.git /x\n')), /COPY/)
  })
  test('--from of an image does not know .dockerignore', () => {
    const files = { '.dockerignore': '*\n' }
    expect(names('FROM scratch\nCOPY --from=busybox /bin/busybox /b\n', files)).toEqual(['b'])
  })
})

test('flags that are empty after expansion are none; an owner of nothing is root', () => {
  const built = must('FROM busybox\nCOPY --chown=$u --chmod=$m f /one\nCOPY --chown=$u:$g f /two\nADD --checksum=$c f /three\n', { f: 'x' })
  expect(['one', 'two', 'three'].map((name) => modeAndOwner(built, name))).toEqual(Array(3).fill('-rw-r--r-- 0/0'))
  expect(built.stderr).toContain('COPY --chown=$u:$g is root')
})

describe('--exclude', () => {
  const files = { 'one/a.txt': '', 'one/sub/a.txt': '', 'one/keep': '', 'two/a.txt': '', 'two/keep2': '' }

  test('is seen from each source', () => {
    expect(names('FROM scratch\nCOPY --exclude=a.txt one two /d/\n', files)).toEqual(['d', 'd/keep', 'd/keep2', 'd/sub', 'd/sub/a.txt'])
  })
  test('of what is in a directory leaves the directory', () => {
    expect(names('FROM scratch\nCOPY --exclude=sub/* one /d/\n', files)).toEqual(['d', 'd/a.txt', 'd/keep', 'd/sub'])
  })
  test('takes no variables', () => {
    expect(names('FROM scratch\nENV x=keep\nCOPY --exclude=$x one /d/\n', files)).toContain('d/keep')
  })
  test('counts for files that a wildcard meets', () => {
    expect(names('FROM scratch\nCOPY --exclude=*.txt h* /d/\n', { 'home.txt': '', 'home.md': '', 'hut/x.txt': '', 'hut/y': '' })).toEqual([
      'd',
      'd/home.md',
      'd/y',
    ])
  })
})

test('--parents: a name that is not there is an error, a wildcard that meets nothing is none', () => {
  expectError(build(context('FROM scratch\nCOPY --parents a/none /d/\n', { 'a/b': '' })), /"a\/none"/)
  expect(names('FROM scratch\nCOPY --parents a/b c/*.none /d/\n', { 'a/b': '', 'c/d': '' })).toEqual(['d', 'd/a', 'd/a/b'])
})

describe('--link', () => {
  test('makes real directories, and hides the link that was there', () => {
    const built = must('FROM busybox\nRUN mkdir /real && ln -s /real /way\nCOPY --link f /way/\n', { f: 'x' })
    expect(modeAndOwner(built, 'way')).toBe('drwxr-xr-x 0/0')
    expect(built.tree.has('way/f')).toBe(true)
    expect(built.tree.has('real/f')).toBe(false)
  })
  test('with an owner or a mode it is a layer like others: it knows names, and leaves directories as they are', () => {
    const passwd = "RUN echo 'app:x:1000:1001::/:/bin/sh' > /etc/passwd && mkdir -m 1777 /open"
    const built = must(
      `FROM busybox\n${passwd}\nWORKDIR /work\nCOPY --link --chown=app f /named\nCOPY --link --chmod=600 f .\nCOPY --link --chown=5:6 --chmod=640 f /open/\n`,
      { f: 'x' },
    )
    expect([modeAndOwner(built, 'named'), modeAndOwner(built, 'work/f'), modeAndOwner(built, 'open/f')]).toEqual([
      '-rw-r--r-- 1000/1001',
      '-rw------- 0/0',
      '-rw-r----- 5/6',
    ])
    expect([modeAndOwner(built, 'work'), modeAndOwner(built, 'open')]).toEqual(['drwxr-xr-x 0/0', 'drwxrwxrwt 0/0'])
  })
})

describe('owners', () => {
  test('a name where there is no passwd is an error, and never root', () => {
    expectError(build(context('FROM scratch\nCOPY --chown=app f /f\n', { f: 'x' })), /app/, /Dockerfile:2/)
    expectError(build(context('FROM scratch\nCOPY --chown=5:staff f /f\n', { f: 'x' })), /staff/, /Dockerfile:2/)
  })
  test('a passwd that is a link is read inside the image', () => {
    const passwd = "RUN echo 'app:x:1000:1001::/:/bin/sh' > /users && ln -sf ../../../users /etc/passwd"
    const built = must(`FROM busybox\n${passwd}\nCOPY --chown=app f /new/f\n`, { f: 'x' })
    expect([modeAndOwner(built, 'new'), modeAndOwner(built, 'new/f')]).toEqual(['drwxr-xr-x 1000/1001', '-rw-r--r-- 1000/1001'])
  })
  test('names are those of the stage that is copied to', () => {
    const passwd = (ids: string): string => `RUN echo 'app:x:${ids}::/:/bin/sh' > /etc/passwd`
    const dockerfile = `FROM busybox AS one\n${passwd('7:8')}\nRUN touch /f\nFROM busybox\n${passwd('9:10')}\nCOPY --from=one --chown=app /f /f\n`
    expect(modeAndOwner(must(dockerfile), 'f')).toBe('-rw-r--r-- 9/10')
  })
  test('of other stages are kept', () => {
    const dockerfile = 'FROM busybox AS one\nRUN touch /f && chown 7:8 /f\nFROM scratch\nCOPY --from=one /f /f\n'
    expect(modeAndOwner(must(dockerfile), 'f')).toBe('-rw-r--r-- 7/8')
  })
})

describe('modes', () => {
  test('setuid bits of a context are kept', () => {
    const directory = context('FROM scratch\nCOPY s /s\n', { s: 'x' })
    chmodSync(join(directory, 's'), 0o6755)
    expect(modeAndOwner(build(directory), 's')).toBe('-rwsr-sr-x 0/0')
  })
  test('an octal one counts for parents, a symbolic one does not', () => {
    const built = must('FROM scratch\nCOPY --chmod=640 f /octal/f\nCOPY --chmod=u=rwX,go= f /symbolic/f\n', { f: 'x' })
    expect(['octal', 'octal/f', 'symbolic', 'symbolic/f'].map((name) => modeAndOwner(built, name))).toEqual([
      'drw-r----- 0/0',
      '-rw-r----- 0/0',
      'drwxr-xr-x 0/0',
      '-rw------- 0/0',
    ])
  })
  test('made parents are 0755, whatever the umask', () => {
    const directory = context('FROM scratch\nCOPY f /p/q/f\n', { f: 'x' })
    const mask = process.umask(0o077)
    const built = build(directory)
    process.umask(mask)
    expect([modeAndOwner(built, 'p'), modeAndOwner(built, 'p/q')]).toEqual(['drwxr-xr-x 0/0', 'drwxr-xr-x 0/0'])
  })
  test('of a source do not count for the cache where --chmod sets them', () => {
    const directory = context('FROM busybox\nCOPY --chmod=644 f /f\n', { f: 'x' })
    const keys = (): string => shop.must(['build', '--print=keys', directory])
    const before = keys()
    chmodSync(join(directory, 'f'), 0o755)
    expect(keys()).toBe(before)
  })
})

test('hard links within one COPY stay one file', () => {
  const dockerfile =
    'FROM busybox AS one\nRUN mkdir /d && echo x > /d/a && ln /d/a /d/b\nFROM busybox\nCOPY --from=one /d /d\nRUN test /d/a -ef /d/b\n'
  must(dockerfile)
})

test('devices and pipes of a stage are made again', () => {
  const dockerfile =
    'FROM busybox AS one\nRUN mkdir /d && mknod -m 640 /d/null c 1 3 && mkfifo -m 600 /d/p\nFROM scratch\nCOPY --from=one /d /d\n'
  const built = must(dockerfile)
  expect([modeAndOwner(built, 'd/null'), modeAndOwner(built, 'd/p')]).toEqual(['crw-r----- 0/0', 'prw------- 0/0'])
})

describe('ADD of a URL', () => {
  const archive = (): Buffer => {
    const directory = mkdtempSync(join(shop.directory, 'archive-'))
    writeFileSync(join(directory, 'inside'), 'x')
    return spawnSync('tar', ['-cf', '-', '-C', directory, 'inside']).stdout
  }
  let server: Server
  let base: string
  const requests: IncomingMessage[] = []
  const body = 'fetched'
  const sha256 = createHash('sha256').update(body).digest('hex')

  beforeAll(async () => {
    const tar = archive()
    server = createServer((request, response) => {
      requests.push(request)
      if (request.headers['if-none-match'] === '"one"') {
        response.writeHead(304).end()
        return
      }
      const date = request.url?.includes('timeless') ? {} : { 'last-modified': 'Sun, 09 Sep 2001 01:46:40 GMT' }
      response.writeHead(200, { etag: '"one"', ...date }).end(request.url?.includes('.tar') ? tar : body)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })

  // Not to its end at once, for the server answers from here.
  async function add(...lines: readonly string[]): Promise<Built> {
    const tar = shop.path(`${count++}.tar`)
    const directory = context(['FROM scratch', ...lines, ''].join('\n'), { local: 'x' })
    const child = shop.start(['build', '-q', '--output', `type=tar,dest=${tar}`, directory])
    let stderr = ''
    child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const [status] = (await once(child, 'close')) as [number | null]
    return listed(tar, { status, stdout: '', stderr })
  }

  test('mode 0600, Last-Modified, root; a name from the path without its query', async () => {
    const { tree, content } = await add(`ADD ${base}/dir/file.txt?v=1 /d/`, `ADD ${base}/ /unnamed/`, `ADD ${base}/x /name`)
    expect(tree.get('d/file.txt')).toBe('-rw------- 0/0 2001-09-09 01:46:40')
    expect(tree.has('unnamed/__unnamed__')).toBe(true)
    expect(tree.get('name')).toMatch(/^-rw------- 0\/0/)
    expect(content('d/file.txt')).toBe(body)
  })
  test('--chown and --chmod', async () => {
    const built = await add(`ADD --chown=5:6 --chmod=755 ${base}/x /p/x`)
    expect(modeAndOwner(built, 'p/x')).toBe('-rwxr-xr-x 5/6')
  })
  test('an archive stays one, but for --unpack', async () => {
    const { tree } = await add(`ADD ${base}/a.tar /kept/`, `ADD --unpack=true ${base}/b.tar /unpacked/`)
    expect([...tree.keys()].filter((name) => name.includes('/'))).toEqual(['kept/a.tar', 'unpacked/inside'])
  })
  test('--checksum: of one source that is fetched, and it must be right', async () => {
    expect((await add(`ADD --checksum=sha256:${sha256} ${base}/sum /x`)).content('x')).toBe(body)
    expectError(await add(`ADD --checksum=sha256:${'0'.repeat(64)} ${base}/wrong /x`), /sha256:0000/)
    expectError(await add(`ADD --checksum=sha256:${sha256} ${base}/a ${base}/b /x/`), /checksum/)
    expectError(await add(`ADD --checksum=sha256:${sha256} local /x`), /checksum/)
  })
  test('each build asks again whether it is still the same', async () => {
    requests.length = 0
    const one = await add(`ADD ${base}/again /x`)
    const two = await add(`ADD ${base}/again /x`)
    expect(requests.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"one"'])
    expect(two.tree.get('x')).toBe(one.tree.get('x'))
  })
})

describe('.dockerignore', () => {
  const files = { a: '', b: '', '.dockerignore': 'a\n' }
  const copied = (directory: string, ...flags: readonly string[]): string[] => {
    const built = build(directory, ...flags)
    expect([built.status, built.stderr]).toEqual([0, expect.any(String)])
    return [...built.tree.keys()].filter((name) => /^[a-z]$/.test(name)).sort()
  }
  const all = 'FROM scratch\nCOPY . /\n'

  test('the file of the Dockerfile goes before that of the context', () => {
    expect(copied(context(all, { ...files, 'Dockerfile.dockerignore': 'b\n' }))).toEqual(['a'])
  })
  test('exists but empty Dockerfile-specific file: nothing is left out', () => {
    expect(copied(context(all, { ...files, 'Dockerfile.dockerignore': '' }))).toEqual(['a', 'b'])
  })
  test('it is found beside a Dockerfile of another name and directory', () => {
    const directory = context(all, { ...files, 'sub/other.Dockerfile': all, 'sub/other.Dockerfile.dockerignore': 'b\n' })
    expect(copied(directory, '-f', join(directory, 'sub/other.Dockerfile'))).toEqual(['a'])
  })
  test('.containerignore goes before .dockerignore', () => {
    expect(copied(context(all, { ...files, '.containerignore': 'b\n' }))).toEqual(['a'])
  })
  test('a named context has its own', () => {
    const more = context('', { a: '', b: '', c: '', '.dockerignore': 'c\n' })
    const directory = context('FROM scratch\nCOPY --from=more . /\n', files)
    expect(copied(directory, '--build-context', `more=${more}`)).toEqual(['a', 'b'])
  })
  test('the Dockerfile and the ignore file are read though they are left out, and not copied', () => {
    expect(names(all, { ...files, '.dockerignore': 'a\nDockerfile\n.dockerignore\n' })).toEqual(['b'])
    expectError(build(context('FROM scratch\nCOPY Dockerfile /\n', { '.dockerignore': 'Dockerfile\n' })), /\.dockerignore/)
  })
  test('a context that is empty, or wholly left out, is one', () => {
    expect(copied(context(all, { ...files, '.dockerignore': '*\n' }))).toEqual([])
    const empty = mkdtempSync(join(shop.directory, 'empty-'))
    writeFileSync(shop.path('elsewhere'), all)
    expect(copied(empty, '-f', shop.path('elsewhere'))).toEqual([])
  })
  test('of . and / nothing is left out', () => {
    expect(copied(context(all, { ...files, '.dockerignore': '.\n/\n' }))).toEqual(['a', 'b'])
  })
  test('dir/** leaves the directory', () => {
    const found = names(all, { 'd/x': '', 'd/e/y': '', '.dockerignore': 'd/**\nDockerfile\n.dockerignore\n' })
    expect(found).toEqual(['d'])
  })
  test('a child of a directory that is left out comes back, also where a source names the child', () => {
    const ignore = 'd\n!d/keep\nDockerfile\n.dockerignore\n'
    expect(names(all, { 'd/x': '', 'd/keep': '', '.dockerignore': ignore })).toEqual(['d', 'd/keep'])
    expect(names('FROM scratch\nCOPY d/keep /\n', { 'd/x': '', 'd/keep': '', '.dockerignore': ignore })).toEqual(['keep'])
  })
  test('a tar as the context has no ignore file of its own', () => {
    // As the commands that send such a context have done that already.
    const directory = context(all, files)
    const tar = spawnSync('tar', ['-cf', '-', '-C', directory, '.']).stdout
    const out = shop.path(`${count++}.tar`)
    const built = listed(out, shop.stave(['build', '-q', '--output', `type=tar,dest=${out}`, '-'], { input: tar }))
    expect(built.status).toBe(0)
    expect([...built.tree.keys()].filter((name) => /^[a-z]$/.test(name)).sort()).toEqual(['a', 'b'])
  })
})
