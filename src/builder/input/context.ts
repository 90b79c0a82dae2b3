import { pathOf, placeOf } from '#store/layout.ts'
import type { ContextSource } from '#attest/provenance.ts'
import type { Context } from '#context.ts'
import type { IgnorePattern, Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { BuildOptions } from '../options.ts'
import type { ContextLocation } from '../plan/source-url.ts'
import type { Directory } from '../solved.ts'
import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, posix, relative, resolve } from 'node:path'
import { hasCode, StaveError } from '#error.ts'
import { fileError, readWholeFile } from '#image/file.ts'
import * as limit from '#limit.ts'
import { redactUrl, splitUserinfo } from '#text/url.ts'
import { looksLikeArchive } from './archive-head.ts'
import { gitAuthorization, httpAuthorization, urlAuthorization, type Trust } from './authorization.ts'
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

type Opened = Directory & {
  readonly dispose: () => Promise<void> | void
  readonly local: string | undefined
  readonly dockerfile?: Uint8Array
  /** Seconds since 1970: of the commit, or as the server says. */
  readonly time?: number | undefined
  /** Of a git repository. */
  readonly commit?: string
}

export function openContexts(options: BuildOptions, secrets: Secrets): Contexts {
  const { store, cwd } = options
  if (options.ignoreFile !== undefined && !existsSync(resolve(cwd, options.ignoreFile)))
    missing(options.ignoreFile, 'It was named with --ignorefile.')
  const main = parseContext(options.context)
  const named = new Map(Object.entries(options.buildContexts ?? {}).map(([name, value]) => [name.toLowerCase(), parseContext(value)]))
  const trust = trustOf(options, main, [...named.values()])
  const opened = new Map<string, Promise<Opened>>()

  function openNamed(cx: Context, name: string): Promise<Opened> {
    let context = opened.get(name)
    if (context === undefined) {
      const location = name === '' ? main : (named.get(name) as ContextLocation)
      context = openLocation(cx, { options, secrets, trust }, location, name)
      opened.set(name, context)
    }
    return context
  }

  async function dockerfile(cx: Context): Promise<{ text: string; file: string; path: string | undefined }> {
    if (options.file === '-') return { text: decode(await readStdin(options, limit.dockerfileBytes), '-'), file: 'stdin', path: undefined }
    if (options.file !== undefined && isHttpUrl(options.file)) return downloadDockerfile(cx, options, options.file)
    if (options.file !== undefined && isAbsolute(options.file)) {
      return (
        (await readLocal(options.file, options.file, main.kind === 'directory' ? resolve(cwd, main.path) : undefined)) ??
        missing(options.file)
      )
    }
    if (main.kind === 'directory' && options.file !== undefined) {
      const path = resolve(cwd, options.file)
      const context = resolve(cwd, main.path)
      const inContext = resolve(context, options.file)
      return (
        (await readLocal(path, options.file, context)) ??
        (await readLocal(inContext, relative(cwd, inContext), context)) ??
        missing(options.file)
      )
    }
    const context = await openNamed(cx, '')
    if (context.dockerfile !== undefined) return { text: decode(context.dockerfile, 'Dockerfile'), file: 'Dockerfile', path: undefined }
    const names = options.file === undefined ? defaultNames : [options.file]
    const { local } = context
    if (local !== undefined) {
      for (const name of names) {
        const path = join(local, name)
        const found = await readLocal(path, shown(cwd, path), local)
        if (found !== undefined) {
          sayWhich(cx, name, (other) => existsSync(join(local, other)))
          return found
        }
      }
      return missing(shown(cwd, join(local, 'Dockerfile')))
    }
    // Files of a context from elsewhere are not opened by name: a link in it could lead anywhere.
    const { files } = await store.runner.read(cx, {
      from: { kind: 'directory', root: context.root },
      paths: names,
      maxBytes: limit.dockerfileBytes,
    })
    const find = (name: string) => files.find(({ path }) => path.replace(/^\//, '') === name)
    for (const name of names) {
      const file = find(name)
      if (file !== undefined) {
        sayWhich(cx, name, (other) => find(other) !== undefined)
        return { text: decode(Buffer.from(file.base64, 'base64'), name), file: name, path: undefined }
      }
    }
    return missing(names[0] as string)
  }

  let read: ReturnType<typeof dockerfile> | undefined
  const once = (cx: Context): ReturnType<typeof dockerfile> => (read ??= dockerfile(cx))

  return {
    named,
    trust,
    project: main.kind === 'directory' ? resolve(cwd, main.path) : redactUrl(options.context),
    dockerfile: once,
    async time(cx, name) {
      const { kind } = name === '' ? main : (named.get(name) as ContextLocation)
      return kind === 'git' || kind === 'http' ? (await openNamed(cx, name)).time : undefined
    },
    async source(cx) {
      const { commit } = main.kind === 'git' ? await openNamed(cx, '') : {}
      if (main.kind !== 'git' || commit === undefined) return undefined
      const { commitDigest } = await import('./git.ts')
      return { uri: redactUrl(main.url), commit, digest: commitDigest(commit) }
    },
    async open(cx, name) {
      const context = await openNamed(cx, name)
      if (context.local === undefined) return context
      if (name === '' && options.ignoreFile !== undefined) {
        const file = resolve(cwd, options.ignoreFile)
        return {
          ...context,
          ...((await readIgnore(file, cwd, context.local)) ?? missing(options.ignoreFile, 'It was named with --ignorefile.')),
        }
      }
      const { path } = name === '' ? await once(cx) : { path: undefined }
      return { ...context, ...(await ignoreOf(context.local, path, cwd)) }
    },
    async [Symbol.asyncDispose]() {
      for (const context of opened.values()) {
        // A context that could not be opened was reported by who asked for it.
        await (await context.catch(() => undefined))?.dispose()
      }
    },
  }
}

/** Docker's name goes first, then podman's; the last is one that BuildKit knows, too. */
const defaultNames = ['Dockerfile', 'Containerfile', 'dockerfile']

/** Docker takes the Dockerfile and podman the Containerfile: where there are both, people expect either. */
function sayWhich(cx: Context, taken: string, isThere: (name: string) => boolean): void {
  if (taken !== 'Dockerfile' || !isThere('Containerfile')) return
  cx.report({
    type: 'warning',
    message: 'Dockerfile is built, and not the Containerfile beside it',
    hint: 'For the other one, write -f Containerfile.',
  })
}

function missing(file: string, hint = 'Name the Dockerfile with -f, and give the context directory as the last argument.'): never {
  throw new StaveError('not-found', `cannot read ${file}: there is no such file`, { hint })
}

/**
 * Reads a Dockerfile or an ignore file. Who wrote the context has not made this machine: what lies in it is a regular file, and a
 * link leads to no place outside. What a person names outside of it may be anything, a pipe too.
 */
async function readLocal(path: string, file: string, context?: string): Promise<{ text: string; file: string; path: string } | undefined> {
  try {
    const isInside = context !== undefined && isWithin(await realpath(dirname(path)), await realpath(context))
    const bytes = await readWholeFile(path, limit.dockerfileBytes, isInside ? { below: context } : { mayBePipe: true })
    return { text: decode(bytes, file), file, path }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    if (hasCode(error, 'denied')) {
      const message = `cannot read ${file}: it is a link that leads out of the build context`
      throw error.with({ message, hint: 'If that is the file you mean, name it where it is, with -f.' })
    }
    throw fileError(error, `read ${file}`)
  }
}

function isWithin(directory: string, other: string): boolean {
  return directory === other || directory.startsWith(other === '/' ? other : `${other}/`)
}

async function downloadDockerfile(
  cx: Context,
  { store, proxy }: BuildOptions,
  url: string,
): Promise<{ text: string; file: string; path: undefined }> {
  const file = redactUrl(url)
  const { url: bare } = splitUserinfo(url)
  const { download } = await import('./fetch.ts')
  const { file: received, dispose } = await download(
    cx,
    store,
    { url: bare, authorization: urlAuthorization(url), proxy },
    limit.dockerfileBytes,
  )
  try {
    return { text: decode(readFileSync(pathOf(store, received.path)), file), file, path: undefined }
  } finally {
    await dispose()
  }
}

function decode(bytes: Uint8Array, file: string): string {
  if (bytes.length > limit.dockerfileBytes)
    throw new StaveError('too-large', `cannot read ${file}: it has ${bytes.length} bytes, and at most ${limit.dockerfileBytes} are read`)
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}

function shown(cwd: string, path: string): string {
  const short = relative(cwd, path)
  return short.startsWith('..') || short === '' ? path : short
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

interface Opening {
  readonly options: BuildOptions
  readonly secrets: Secrets
  readonly trust: Trust
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

async function readStdin(options: BuildOptions, maxBytes: number): Promise<Uint8Array> {
  if (options.stdin === undefined) throw new StaveError('usage', 'cannot read the Dockerfile from standard input: there is none')
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of options.stdin) {
    size += chunk.length
    if (size > maxBytes)
      throw new StaveError('too-large', `cannot read the Dockerfile from standard input: it has more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
