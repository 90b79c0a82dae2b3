import { pathOf, placeOf } from '#store/layout.ts'
import type { ContextSource } from '#attest/provenance.ts'
import type { Context } from '#context.ts'
import type { IgnorePattern, Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { BuildOptions } from '../options.ts'
import type { ContextLocation } from '../plan/source-url.ts'
import type { Directory } from '../solved.ts'
import { closeSync, constants, existsSync, mkdirSync, openSync, readSync, statSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, posix, resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { readWholeFile } from '#image/file.ts'
import * as limit from '#limit.ts'
import { redactUrl, splitUserinfo } from '#text/url.ts'
import { missing, readDockerfile, readLocal, shown, type Dockerfile, type DockerfileContext } from './dockerfile.ts'
import { looksLikeArchive } from './archive-head.ts'
import { gitAuthorization, httpAuthorization, type Trust } from './authorization.ts'
import type { Secrets } from './secrets.ts'
import { newestFile } from './newest.ts'
import { isHttpUrl, parseContext } from '../plan/source-url.ts'

/** The contexts of one build, opened when first asked for. */
export interface Contexts extends AsyncDisposable {
  /** Text of the Dockerfile, and its name for messages. */
  dockerfile(cx: Context): Promise<{ readonly text: string; readonly file: string }>
  /** `''` is the main context. */
  open(cx: Context, name: string): Promise<Directory>
  readonly named: ReadonlyMap<string, ContextLocation>
  /** Who wrote the Dockerfile, and whom the caller named. */
  readonly trust: Trust
  /**
   * When a context was made, in seconds since 1970: of a git commit, or by HTTP's Last-Modified, else of the newest file in
   * what came. Others have no such time.
   */
  time(cx: Context, name: string): Promise<number | undefined>
  /** The repository that the main context is from, if it is from one. */
  source(cx: Context): Promise<ContextSource | undefined>
  /** What identifies the project on this machine, to find the last build of it again. */
  readonly project: string
}

type Opened = DockerfileContext & {
  readonly dispose: () => Promise<void> | void
  /** Seconds since 1970: of the commit, or as the server says. */
  readonly time?: number | undefined
  /** Of a git repository. */
  readonly commit?: string
}

export function openContexts(options: BuildOptions, secrets: Secrets): Contexts {
  const { cwd } = options
  if (options.ignoreFile !== undefined && !existsSync(resolve(cwd, options.ignoreFile)))
    missing(options.ignoreFile, 'It was named with --ignorefile.')
  const main = parseContext(options.context)
  const named = new Map(Object.entries(options.buildContexts ?? {}).map(([name, value]) => [name.toLowerCase(), parseContext(value)]))
  const trust = trustOf(options, main, [...named.values()])
  const opening: Opening = { options, secrets, trust, main, named, opened: new Map() }
  let read: Promise<Dockerfile> | undefined
  const dockerfile = (cx: Context): Promise<Dockerfile> => (read ??= readDockerfile(cx, options, main, () => openNamed(cx, opening, '')))
  return {
    named,
    trust,
    project: main.kind === 'directory' ? resolve(cwd, main.path) : redactUrl(options.context),
    dockerfile,
    async time(cx, name) {
      const { kind } = name === '' ? main : (named.get(name) as ContextLocation)
      return kind === 'git' || kind === 'http' ? (await openNamed(cx, opening, name)).time : undefined
    },
    async source(cx) {
      const { commit } = main.kind === 'git' ? await openNamed(cx, opening, '') : {}
      if (main.kind !== 'git' || commit === undefined) return undefined
      const { commitDigest } = await import('./git.ts')
      return { uri: redactUrl(main.url), commit, digest: commitDigest(commit) }
    },
    async open(cx, name) {
      const context = await openNamed(cx, opening, name)
      if (context.local === undefined) return context
      if (name === '' && options.ignoreFile !== undefined) {
        const file = resolve(cwd, options.ignoreFile)
        return {
          ...context,
          ...((await readIgnore(file, cwd, context.local)) ?? missing(options.ignoreFile, 'It was named with --ignorefile.')),
        }
      }
      const { path } = name === '' ? await dockerfile(cx) : { path: undefined }
      return { ...context, ...(await ignoreOf(context.local, path, cwd)) }
    },
    async [Symbol.asyncDispose]() {
      for (const context of opening.opened.values()) {
        // A context that could not be opened was reported by who asked for it.
        await (await context.catch(() => undefined))?.dispose()
      }
    },
  }
}

interface Opening {
  readonly options: BuildOptions
  readonly secrets: Secrets
  readonly trust: Trust
  readonly main: ContextLocation
  readonly named: ReadonlyMap<string, ContextLocation>
  readonly opened: Map<string, Promise<Opened>>
}

function openNamed(cx: Context, opening: Opening, name: string): Promise<Opened> {
  let context = opening.opened.get(name)
  if (context === undefined) {
    const location = name === '' ? opening.main : (opening.named.get(name) as ContextLocation)
    context = openLocation(cx, opening, location, name)
    opening.opened.set(name, context)
  }
  return context
}

/** The ignore file: the one next to the Dockerfile and named after it goes before those of the context. An empty one counts. */
async function ignoreOf(
  context: string,
  dockerfile: string | undefined,
  cwd: string,
): Promise<{ ignore: readonly IgnorePattern[]; ignoreFile: string | undefined }> {
  const candidates = [
    ...(dockerfile === undefined || dockerfile.startsWith('/dev/')
      ? []
      : [join(dirname(dockerfile), `${basename(dockerfile)}.dockerignore`)]),
    join(context, '.containerignore'),
    join(context, '.dockerignore'),
  ]
  for (const path of candidates) {
    const found = await readIgnore(path, cwd, context)
    if (found !== undefined) return found
  }
  return { ignore: [], ignoreFile: undefined }
}

async function readIgnore(
  path: string,
  cwd: string,
  context: string,
): Promise<{ ignore: readonly IgnorePattern[]; ignoreFile: string } | undefined> {
  const file = shown(cwd, path)
  const found = await readLocal(path, file, context)
  if (found === undefined) return undefined
  const { parseIgnore } = await import('#dockerfile/ignore.ts')
  return { ignore: parseIgnore(found.text, file), ignoreFile: file }
}

/** Hosts that the caller named are those of contexts; a Dockerfile of one of them is not the caller's own. */
function trustOf({ file }: BuildOptions, main: ContextLocation, named: readonly ContextLocation[]): Trust {
  const urls = [main, ...named].flatMap((location) => ('url' in location ? [location.url] : []))
  const hosts = new Set(urls.flatMap((url) => URL.parse(splitUserinfo(url).url)?.host ?? []))
  const isOwn = main.kind === 'directory' || main.kind === 'stdin' || file === '-' || (file !== undefined && isAbsolute(file))
  return { isLocal: isOwn && !(file !== undefined && isHttpUrl(file)), hosts }
}

async function openLocation(cx: Context, opening: Opening, location: ContextLocation, name: string): Promise<Opened> {
  const { options, secrets, trust } = opening
  const { store, cwd } = options
  const title = name === '' ? 'the build context' : `the context ${name}`
  const rest = { kind: 'directory' as const, ignore: [], ignoreFile: undefined, title }
  const sub = name === '' ? options.contextSubPath : undefined
  switch (location.kind) {
    case 'directory': {
      const path = resolve(cwd, location.path)
      const fd = openPath(path, `${title} ${location.path}`)
      if (fd.isDirectory) return { ...rest, root: { fd: fd.fd }, local: path, dispose: () => closeSync(fd.fd) }
      try {
        return await unpackContext(cx, store, { fd: fd.fd }, rest, sub)
      } finally {
        closeSync(fd.fd)
      }
    }
    case 'stdin': {
      const { receive } = await import('./fetch.ts')
      if (options.stdin === undefined || options.file === '-')
        throw new StaveError('usage', 'cannot read both the context and the Dockerfile from standard input')
      const { file, dispose } = await receive(store, options.stdin, 'the build context')
      try {
        return await unpackContext(cx, store, file, rest, sub)
      } finally {
        await dispose()
      }
    }
    case 'http': {
      const { download } = await import('./fetch.ts')
      const { url } = splitUserinfo(location.url)
      const authorization = httpAuthorization(cx, secrets, trust, location.url)
      const { file, dispose, lastModified } = await download(cx, store, { url, authorization, proxy: options.proxy })
      const said = Math.floor(Date.parse(lastModified ?? '') / 1000)
      try {
        const time = Number.isNaN(said) ? await newestFile(pathOf(store, file.path)) : said
        return { ...(await unpackContext(cx, store, file, rest, sub)), time }
      } finally {
        await dispose()
      }
    }
    case 'git': {
      const { checkout } = await import('./git.ts')
      const keepGitDir = /^(?:1|true)$/i.test(options.buildArgs?.['BUILDKIT_CONTEXT_KEEP_GIT_DIR'] ?? '')
      const tree = await checkout(cx, store, location.url, {
        ...(keepGitDir ? { keepGitDir } : {}),
        authorization: gitAuthorization(cx, secrets, trust, location.url),
        agent: options.ssh?.find(({ id }) => id === 'default')?.socket,
        proxy: options.proxy,
        authorities: options.authorities,
      })
      const { root, ignore, dispose, time, commit, hasItsTime } = tree
      return { ...rest, root, ignore, local: undefined, dispose, time, commit, ...(hasItsTime ? { latest: time } : {}) }
    }
    case 'image':
      throw new StaveError('usage', `cannot use ${location.location} as the build context: it is an image`, {
        hint: 'Use it with --build-context and COPY --from.',
      })
  }
}

function openPath(path: string, what: string): { fd: number; isDirectory: boolean } {
  try {
    const isDirectory = statSync(path).isDirectory()
    return { fd: openSync(path, isDirectory ? constants.O_RDONLY | constants.O_DIRECTORY : constants.O_RDONLY), isDirectory }
  } catch (error) {
    throw new StaveError('not-found', `cannot open ${what}`, { cause: error })
  }
}

/** A tar (by its content) becomes a directory; anything else is a Dockerfile, and the context is empty. */
async function unpackContext(
  cx: Context,
  store: Store,
  file: Place,
  rest: Omit<Opened, 'root' | 'dispose' | 'local'>,
  sub: string | undefined,
): Promise<Opened> {
  const snapshot = await store.snapshots.create()
  const dispose = (): Promise<void> => store.snapshots.discard(snapshot.id)
  const root = placeOf(store, `${snapshot.place.path as string}/context`)
  mkdirSync(pathOf(store, root.path))
  try {
    const path = file.path === undefined ? `/proc/self/fd/${file.fd}` : pathOf(store, file.path)
    const head = readHead(path)
    if (looksLikeArchive(head)) {
      await store.runner.copy(cx, {
        base: [],
        items: [{ kind: 'file', name: 'context.tar', file, mode: 0o644, unpack: true }],
        to: '/',
        plain: root,
      })
      // Whatever it is called, it is below the root.
      const below = sub === undefined ? '' : posix.join('/', sub).replace(/\/+$/, '')
      return { ...rest, root: { ...root, path: `${root.path}${below}` }, local: undefined, dispose }
    }
    const dockerfile = await readWholeFile(path, limit.dockerfileBytes)
    return { ...rest, root, local: undefined, dispose, dockerfile }
  } catch (error) {
    await dispose()
    throw error
  }
}

function readHead(path: string): Buffer {
  const buffer = Buffer.alloc(512)
  const fd = openSync(path, 'r')
  try {
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0))
  } finally {
    closeSync(fd)
  }
}
