import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { locateRunner } from '#runner/locate.ts'
import { createRunner } from '#runner/runner.ts'
import { openImage } from '#image/image.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import { build } from '../build.ts'
import { checkout } from './git.ts'

const daemon = '/usr/lib/git-core/git-daemon'
const isThere = existsSync(daemon)

let repositories: string
let server: ChildProcess
let base: string
let root: string
let store: LocalStore
let first: string

function git(directory: string, ...args: string[]): string {
  const env = {
    PATH: process.env['PATH'],
    HOME: '/nonexistent',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_AUTHOR_DATE: '1700000000 +0000',
    GIT_COMMITTER_DATE: '1700000000 +0000',
  }
  return execFileSync(
    'git',
    ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'protocol.file.allow=always', '-C', directory, ...args],
    { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  ).trim()
}

beforeAll(async () => {
  if (!isThere) return
  repositories = mkdtempSync(join(tmpdir(), 'stave-git-'))
  const work = join(repositories, 'r.git')
  mkdirSync(join(work, 'sub'), { recursive: true })
  git(work, 'init', '-q', '-b', 'main')
  writeFileSync(join(work, 'file'), 'one')
  writeFileSync(join(work, 'sub/deep'), 'deep')
  symlinkSync('/etc/passwd', join(work, 'link'))
  git(work, 'add', '.')
  git(work, 'commit', '-qm', 'one')
  first = git(work, 'rev-parse', 'HEAD')
  git(work, 'tag', 'v1')
  writeFileSync(join(work, 'file'), 'two')
  git(work, 'commit', '-qam', 'two')
  const port = await new Promise<number>((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
  server = spawn(daemon, ['--export-all', '--reuseaddr', '--listen=127.0.0.1', `--port=${port}`, `--base-path=${repositories}`], {
    stdio: 'ignore',
  })
  base = `git://127.0.0.1:${port}`
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      git('/', 'ls-remote', `${base}/r.git`)
      break
    } catch {
      await delay(50)
    }
  }
})
afterAll(() => {
  server?.kill()
  if (isThere) rmSync(repositories, { recursive: true })
})
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'stave-git-store-'))
  store = await openStore({ root, runner: createRunner({ binary: locateRunner(), uid: 0, root }) })
})
afterEach(async () => {
  await store[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

describe.skipIf(!isThere)(`git${isThere ? '' : ': skipped, because there is no git-daemon'}`, () => {
  const path = (tree: { root: { path?: string } }): string => join(root, tree.root.path as string)

  test('the newest commit of the default branch', async () => {
    const tree = await checkout(cx, store, `${base}/r.git`)
    expect(readFileSync(join(path(tree), 'file'), 'utf8')).toBe('two')
    expect(readdirSync(path(tree)).sort()).toEqual(['file', 'link', 'sub'])
    expect(tree.time).toBe(1700000000)
    await tree.dispose()
    expect(existsSync(path(tree))).toBe(false)
  })

  test.each(['v1', 'refs/tags/v1'])('a tag: %s', async (ref) => {
    const tree = await checkout(cx, store, `${base}/r.git#${ref}`)
    expect(tree.commit).toBe(first)
    expect(readFileSync(join(path(tree), 'file'), 'utf8')).toBe('one')
  })

  test('a commit, its check, and a directory of it', async () => {
    const tree = await checkout(cx, store, `${base}/r.git#${first}:sub`, { checksum: first.slice(0, 12) })
    expect(readdirSync(path(tree))).toEqual(['deep'])
    await expect(checkout(cx, store, `${base}/r.git#main`, { checksum: first })).rejects.toMatchObject({ code: 'digest-mismatch' })
  })

  test('.git is kept where it is asked for, and names the real remote', async () => {
    const tree = await checkout(cx, store, `${base}/r.git`, { keepGitDir: true })
    expect(git(path(tree), 'config', 'remote.origin.url')).toBe(`${base}/r.git`)
    expect(git(path(tree), 'log', '--format=%s', '-1')).toBe('two')
  })

  test('a context: its time for SOURCE_DATE_EPOCH=context, and .git where a build argument asks for it', async () => {
    const dockerfile = join(root, 'Dockerfile')
    writeFileSync(dockerfile, 'ARG SOURCE_DATE_EPOCH=context\nFROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL at=$SOURCE_DATE_EPOCH\nCOPY . /\n')
    const dest = join(root, 'out')
    const places = { source: () => Promise.reject(new Error('none')), target: () => Promise.reject(new Error('none')) }
    const options = { store, places, context: `${base}/r.git`, cwd: '/', stdin: [readFileSync(dockerfile)] as never, file: '-' }
    const { images } = await build(cx, options)
    const image = await openImage(cx, store, images[0]!.descriptor)
    expect(await image.config(cx)).toMatchObject({ created: '2023-11-14T22:13:20.000Z', config: { Labels: { at: '1700000000' } } })
    await build(cx, { ...options, buildArgs: { BUILDKIT_CONTEXT_KEEP_GIT_DIR: '1' }, outputs: [{ type: 'local', dest }] })
    expect(readdirSync(dest)).toContain('.git')
  })

  test.each([
    ['a named context', 'FROM scratch', { SRC: '' }],
    ['a stage', 'FROM scratch AS src\nARG N=r\nADD URL/$N.git /\nFROM scratch', {}],
  ])('SOURCE_DATE_EPOCH is the name of %s', async (_name, text, named) => {
    const places = { source: () => Promise.reject(new Error('none')), target: () => Promise.reject(new Error('none')) }
    const { images } = await build(cx, {
      store,
      places,
      context: root,
      cwd: '/',
      stdin: [Buffer.from(`${text.replace('URL', base)}\nARG SOURCE_DATE_EPOCH\nLABEL at=$SOURCE_DATE_EPOCH\n`)] as never,
      file: '-',
      epoch: 'Src',
      buildContexts: Object.fromEntries(Object.keys(named).map((name) => [name, `${base}/r.git`])),
    })
    const image = await openImage(cx, store, images[0]!.descriptor)
    expect(await image.config(cx)).toMatchObject({ created: '2023-11-14T22:13:20.000Z', config: { Labels: { at: '1700000000' } } })
  })

  test.each([
    ['a ref that is not there', () => `${base}/r.git#nope`],
    ['a repository that is not there', () => `${base}/none.git`],
    ['a file: URL', () => 'ssh://-oProxyCommand=touch${IFS}/tmp/x/r.git'],
  ])('%s is an error', async (_name, url) => {
    await expect(checkout(cx, store, url())).rejects.toMatchObject({ code: expect.stringMatching(/network|usage|not-found/) })
    expect(existsSync(join(root, 'snapshots'))).toBe(false)
  })
})
