import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { openImage } from '#image/image.ts'
import { locateRunner } from '#runner/locate.ts'
import { createRunner } from '#runner/runner.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import { build } from '../build.ts'
import { checkout, type Checkout } from './git.ts'

/** Two servers of the same repositories: `/smart/` speaks git's protocol, `/dumb/` are files. */
interface GitServer extends AsyncDisposable {
  readonly base: string
  readonly host: string
  readonly seen: { readonly url: string; readonly authorization: string | undefined }[]
  /** Answers first, if it wants to. */
  front: (request: IncomingMessage, response: ServerResponse) => boolean
}

let repositories: string
let root: string
let store: LocalStore
let one: GitServer
let other: GitServer
const commits: Record<string, string> = {}

function git(directory: string, ...args: string[]): string {
  const env = {
    PATH: process.env['PATH'],
    HOME: '/nonexistent',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_AUTHOR_DATE: '1700000000 +0000',
    GIT_COMMITTER_DATE: '1700000000 +0000',
  }
  const who = ['-c', 'user.name=t', '-c', 'user.email=t@example.com']
  return execFileSync('git', [...who, '-C', directory, ...args], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
}

async function serve(): Promise<GitServer> {
  const seen: GitServer['seen'] = []
  const server = createServer((request, response) => {
    seen.push({ url: request.url!, authorization: request.headers.authorization })
    if (self.front(request, response)) return
    const { pathname, search } = new URL(request.url!, 'http://h')
    if (pathname.startsWith('/dumb/')) {
      const file = join(repositories, pathname.slice('/dumb/'.length))
      const isFile = existsSync(file) && statSync(file).isFile()
      response.writeHead(isFile ? 200 : 404).end(isFile ? readFileSync(file) : '')
      return
    }
    const env = {
      PATH: process.env['PATH'],
      GIT_PROJECT_ROOT: repositories,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      PATH_INFO: pathname.replace('/smart', ''),
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    }
    const backend = spawn('git', ['http-backend'], { env, stdio: ['pipe', 'pipe', 'ignore'] })
    request.pipe(backend.stdin)
    let head = Buffer.alloc(0)
    backend.stdout.on('data', (chunk: Buffer) => {
      if (response.headersSent) return void response.write(chunk)
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      const fields = head.subarray(0, end).toString().split('\r\n')
      const status = Number(/^Status: (\d+)/.exec(fields.find((field) => field.startsWith('Status')) ?? '')?.[1] ?? 200)
      response.writeHead(status, Object.fromEntries(fields.map((field) => field.split(': ') as [string, string])))
      response.write(head.subarray(end + 4))
    })
    backend.once('close', () => response.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const self: GitServer = {
    base: `http://${host}`,
    host,
    seen,
    front: () => false,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
  return self
}

function makeRepository(name: string, format: string): void {
  const work = join(repositories, name)
  mkdirSync(work)
  git(work, 'init', '-q', '-b', 'main', `--object-format=${format}`)
  writeFileSync(join(work, 'file'), 'one')
  git(work, 'add', '.')
  git(work, 'commit', '-qm', 'one')
  git(work, 'tag', 'both')
  commits[`${name} tag`] = git(work, 'rev-parse', 'HEAD')
  writeFileSync(join(work, 'file'), 'two')
  git(work, 'commit', '-qam', 'two')
  git(work, 'branch', 'both')
  git(work, 'tag', '-a', '-m', 'x', 'annotated')
  commits[name] = git(work, 'rev-parse', 'HEAD')
  git(work, 'update-server-info')
  git(work, 'clone', '-q', '--bare', '.', join(repositories, `bare-${name}`))
  git(join(repositories, `bare-${name}`), 'update-server-info')
}

beforeAll(async () => {
  repositories = mkdtempSync(join(tmpdir(), 'stave-git-http-'))
  makeRepository('r.git', 'sha1')
  makeRepository('s.git', 'sha256')
})
afterAll(() => rmSync(repositories, { recursive: true }))
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'stave-git-store-'))
  store = await openStore({ root, runner: createRunner({ binary: locateRunner(), uid: 0, root }) })
  one = await serve()
  other = await serve()
})
afterEach(async () => {
  await store[Symbol.asyncDispose]()
  await one[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

const pathOf = (tree: Checkout): string => join(root, tree.root.path as string)
const content = (tree: Checkout): string => readFileSync(join(pathOf(tree), 'file'), 'utf8')

describe('what a URL names', () => {
  test.each([
    ['the branch where a tag has its name too', '/smart/bare-r.git#both', 'two'],
    ['the tag where it is asked for', '/smart/bare-r.git?tag=both', 'one'],
    ['an annotated tag', '/smart/bare-r.git#annotated', 'two'],
    ['over the dumb protocol', '/dumb/bare-r.git', 'two'],
    ['a tag over the dumb protocol', '/dumb/bare-r.git?tag=both', 'one'],
    ['a repository with SHA-256', '/smart/bare-s.git', 'two'],
    ['one of its tags', '/smart/bare-s.git?tag=both', 'one'],
  ])('%s', async (_name, url, expected) => {
    const tree = await checkout(cx, store, `${one.base}${url}`)
    expect(content(tree)).toBe(expected)
    await tree.dispose()
  })

  test('a commit by itself, whatever the branch is now', async () => {
    const first = commits['r.git tag'] as string
    const tree = await checkout(cx, store, `${one.base}/smart/bare-r.git?branch=main&checksum=${first}&fetch-by-commit=true`)
    expect([tree.commit, content(tree)]).toEqual([first, 'one'])
    await expect(checkout(cx, store, `${one.base}/smart/bare-r.git?branch=main&checksum=${first}`)).rejects.toMatchObject({
      code: 'digest-mismatch',
    })
  })

  test('what is there already is not fetched again', async () => {
    await checkout(cx, store, `${one.base}/smart/bare-r.git`)
    one.seen.length = 0
    await checkout(cx, store, `${one.base}/smart/bare-r.git`)
    expect(one.seen.filter(({ url }) => url.endsWith('/git-upload-pack')).length).toBeLessThanOrEqual(1)
  })

  test('a ref that is not there is told by its name', async () => {
    await expect(checkout(cx, store, `${one.base}/smart/bare-r.git#nope`)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('"nope"'),
    })
  })
})

test('.git is the same each time, and names neither this machine nor the password', async () => {
  const url = `${one.base.replace('//', '//user:pass-word@')}/smart/bare-r.git?keep-git-dir=1`
  const snapshot = (tree: Checkout): string[] => {
    const directory = join(pathOf(tree), '.git')
    const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
    return names.flatMap((name) => {
      const path = join(directory, name)
      return statSync(path).isFile() ? [`${name} ${readFileSync(path).toString('latin1')}`] : [name]
    })
  }
  const first = snapshot(await checkout(cx, store, url))
  // A cache with another history packs otherwise.
  await checkout(cx, store, `${one.base}/smart/bare-r.git?tag=both`)
  const second = snapshot(await checkout(cx, store, url))
  expect(second).toEqual(first)
  expect(first.join('\n')).not.toMatch(/pass-word|stave-git-store/)
})

describe('a secret stays with its origin', () => {
  const authorization = 'Basic c2VjcmV0'
  const secretsOf = (server: GitServer): (string | undefined)[] => server.seen.map((request) => request.authorization)

  test('it is sent there', async () => {
    await checkout(cx, store, `${one.base}/smart/bare-r.git`, { authorization })
    expect(new Set(secretsOf(one))).toEqual(new Set([authorization]))
  })

  test('user and password of the URL are, too', async () => {
    await checkout(cx, store, `${one.base.replace('//', '//user:pw@')}/smart/bare-r.git`)
    expect(new Set(secretsOf(one))).toEqual(new Set(['Basic dXNlcjpwdw==']))
  })

  test.each(['every request', 'the first request', 'the fetch itself'])(
    'a redirect of %s to another origin does not get it',
    async (which) => {
      let count = 0
      one.front = (request, response) => {
        count++
        const redirects = which === 'every request' || (which === 'the first request' ? count === 1 : request.method === 'POST')
        if (redirects) response.writeHead(302, { location: `${other.base}${request.url}` }).end()
        return redirects
      }
      await checkout(cx, store, `${one.base}/smart/bare-r.git`, { authorization }).catch(() => undefined)
      expect(secretsOf(other).filter((value) => value !== undefined)).toEqual([])
    },
  )

  test('a redirect within the origin is followed with it', async () => {
    one.front = (request, response) => {
      const moved = request.url!.startsWith('/old/')
      if (moved) response.writeHead(301, { location: request.url!.replace('/old/', '/smart/') }).end()
      return moved
    }
    expect(content(await checkout(cx, store, `${one.base}/old/bare-r.git`, { authorization }))).toBe('two')
    expect(new Set(secretsOf(one))).toEqual(new Set([authorization]))
  })

  test('a repository that moved elsewhere is found, without it', async () => {
    one.front = (request, response) => {
      response.writeHead(301, { location: `${other.base}${request.url}` }).end()
      return true
    }
    expect(content(await checkout(cx, store, `${one.base}/smart/bare-r.git`, { authorization }))).toBe('two')
    expect(new Set(secretsOf(other))).toEqual(new Set([undefined]))
  })

  test('an error shows no password', async () => {
    one.front = (_request, response) => {
      response.writeHead(403).end()
      return true
    }
    const error = await checkout(cx, store, `${one.base.replace('//', '//user:pass-word@')}/smart/bare-r.git`).catch(
      (caught: Error) => caught,
    )
    expect(`${(error as Error).message} ${String((error as Error).cause)}`).not.toContain('pass-word')
  })
})

test('ssh is given no identity of the caller, and no agent that was not named', async () => {
  const bin = join(root, 'bin')
  mkdirSync(bin)
  // Git starts ssh by its PATH, which is fixed; so the words are taken from its own trace.
  const { gitFor } = await import('./git-command.ts')
  const means = { knownHosts: '/store/known hosts' }
  const script = join(bin, 'show')
  writeFileSync(script, '#!/bin/sh\n')
  chmodSync(script, 0o755)
  const show = gitFor(cx, 'git@h:x.git', means)
  const text = await show(['-c', 'alias.show-ssh=!printf "%s\\n%s" "$GIT_SSH_COMMAND" "$SSH_AUTH_SOCK"', 'show-ssh'], root)
  expect(text).toContain('-o IdentityFile=none')
  expect(text).toContain('-o IdentityAgent=none')
  expect(text.split('\n')[1]).toBe('')
})

describe('a build', () => {
  const nowhere = { source: () => Promise.reject(new Error('none')), target: () => Promise.reject(new Error('none')) }
  const options = (context: string) => ({ store, places: nowhere, context, cwd: '/' })

  test('of a private repository: the token goes to its host, and its password nowhere', async () => {
    const dockerfile = join(root, 'Dockerfile')
    writeFileSync(dockerfile, 'FROM scratch\nCOPY file /\n')
    one.front = (request, response) => {
      const isAllowed = request.headers.authorization !== undefined
      if (!isAllowed) response.writeHead(401).end()
      return !isAllowed
    }
    const secrets = [{ id: 'GIT_AUTH_TOKEN', value: Buffer.from('tok-en') }]
    const { images } = await build(cx, { ...options(`${one.base}/smart/bare-r.git`), file: dockerfile, secrets, provenance: 'max' })
    expect((await openImage(cx, store, images[0]!.descriptor)).manifest.layers).toHaveLength(1)

    const url = `${one.base.replace('//', '//user:pass-word@')}/smart/bare-r.git`
    const result = await build(cx, { ...options(url), file: dockerfile, provenance: 'max', id: 'told' })
    expect(JSON.stringify(result)).not.toContain('pass-word')
    expect(result.metadata['buildx.build.provenance']).toMatchObject({
      buildDefinition: {
        externalParameters: {
          configSource: { uri: `${one.base}/smart/bare-r.git`, digest: { sha1: commits['r.git'] }, path: 'Dockerfile' },
          request: { args: { 'vcs:source': `${one.base}/smart/bare-r.git`, 'vcs:revision': commits['r.git'] } },
        },
        resolvedDependencies: [{ uri: `${one.base}/smart/bare-r.git`, digest: { sha1: commits['r.git'] } }],
      },
      runDetails: { metadata: { buildkit_completeness: { resolvedDependencies: true } } },
    })
    const logs = readdirSync(result.logs, { recursive: true, encoding: 'utf8' })
    for (const name of logs) expect(readFileSync(join(result.logs, name), 'latin1')).not.toContain('pass-word')
  })

  test('ADD over plain http is not told a token that names no host', async () => {
    const dockerfile = join(root, 'Dockerfile')
    writeFileSync(dockerfile, `FROM scratch\nADD ${other.base}/smart/bare-r.git /r\n`)
    const secrets = [{ id: 'GIT_AUTH_TOKEN', value: Buffer.from('tok-en') }]
    await build(cx, { ...options(root), file: dockerfile, secrets })
    expect(other.seen.every((request) => request.authorization === undefined)).toBe(true)
  })

  test('mtime=commit gives the files the time of the commit', async () => {
    const dockerfile = join(root, 'Dockerfile')
    writeFileSync(dockerfile, `FROM scratch\nADD ${one.base}/smart/bare-r.git?mtime=commit /r/\n`)
    const dest = join(root, 'out')
    await build(cx, { ...options(root), file: dockerfile, outputs: [{ type: 'local', dest }] })
    expect(statSync(join(dest, 'r/file')).mtime).toEqual(new Date(1700000000 * 1000))
  })

  test('a Dockerfile of another place names no files of this machine', async () => {
    const work = join(repositories, 'evil.git')
    mkdirSync(work)
    git(work, 'init', '-q', '-b', 'main')
    writeFileSync(join(work, 'Dockerfile'), 'FROM oci-archive:/etc/passwd\n')
    git(work, 'add', '.')
    git(work, 'commit', '-qm', 'x')
    git(work, 'update-server-info')
    const error = await build(cx, options(`${one.base}/smart/evil.git/.git`.replace('/.git', ''))).catch((caught: Error) => caught)
    expect(error).toMatchObject({ code: 'denied' })
    expect((error as Error).message).not.toContain('root:')
  })
})
