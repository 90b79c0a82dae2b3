import type { Context } from '#context.ts'
import type { IgnorePattern, Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { BuildOptions } from './options.ts'
import type { ContextLocation } from './source-url.ts'
import type { Directory } from './state.ts'
import { closeSync, constants, mkdirSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { basename, dirname, join, posix, relative, resolve } from 'node:path'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { looksLikeArchive } from './archive-head.ts'
import { parseContext } from './source-url.ts'

/** The contexts of one build, opened when first asked for. */
export interface Contexts extends AsyncDisposable {
  /** Text of the Dockerfile, and its name for messages. */
  dockerfile(cx: Context): Promise<{ readonly text: string; readonly file: string }>
  /** `''` is the main context. */
  open(cx: Context, name: string): Promise<Directory>
  readonly named: ReadonlyMap<string, ContextLocation>
  /** When the main context was made, in seconds since 1970: of a git commit, or by HTTP's Last-Modified. Others have no such time. */
  time(cx: Context): Promise<number | undefined>
  /** What identifies the project on this machine, to find the last build of it again. */
  readonly project: string
}

type Opened = Directory & {
  readonly dispose: () => Promise<void> | void
  readonly local: string | undefined
  readonly dockerfile?: Uint8Array
  /** Seconds since 1970: of the commit, or as the server says. */
  readonly time?: number | undefined
}

export function openContexts(options: BuildOptions): Contexts {
  const { store, cwd } = options
  const main = parseContext(options.context)
  const named = new Map(Object.entries(options.buildContexts ?? {}).map(([name, value]) => [name.toLowerCase(), parseContext(value)]))
  const opened = new Map<string, Promise<Opened>>()

  function openNamed(cx: Context, name: string): Promise<Opened> {
    let context = opened.get(name)
    if (context === undefined) {
      const location = name === '' ? main : (named.get(name) as ContextLocation)
      context = openLocation(cx, options, location, name)
      opened.set(name, context)
    }
    return context
  }

  async function dockerfile(cx: Context): Promise<{ text: string; file: string; path: string | undefined }> {
    if (options.file === '-') {
      return { text: decode(await readStdin(options, limit.dockerfileBytes), '-'), file: 'stdin', path: undefined }
    }
    if (options.file !== undefined && /^https?:\/\//.test(options.file)) {
      const { download } = await import('./ops/fetch.ts')
      const { file, size, dispose } = await download(cx, store, options.file, options.proxy)
      try {
        if (size > limit.dockerfileBytes)
          throw new StaveError('dockerfile', `${options.file} is larger than ${limit.dockerfileBytes} bytes`)
        return { text: decode(readFileSync(join(store.root, file.path ?? '')), options.file), file: options.file, path: undefined }
      } finally {
        await dispose()
      }
    }
    if (main.kind === 'directory' && options.file !== undefined) {
      const path = resolve(cwd, options.file)
      const inContext = resolve(cwd, main.path, options.file)
      return readLocal(path, options.file) ?? readLocal(inContext, relative(cwd, inContext)) ?? missing(options.file)
    }
    const context = await openNamed(cx, '')
    if (context.dockerfile !== undefined) {
      return { text: decode(context.dockerfile, 'Dockerfile'), file: 'Dockerfile', path: undefined }
    }
    const names = options.file === undefined ? ['Dockerfile', 'Containerfile', 'dockerfile'] : [options.file]
    if (context.local !== undefined) {
      for (const name of names) {
        const path = join(context.local, name)
        const found = readLocal(path, shown(cwd, path))
        if (found !== undefined) {
          return found
        }
      }
      return missing(shown(cwd, join(context.local, 'Dockerfile')))
    }
    // Files of a context from elsewhere are not opened by name: a link in it could lead anywhere.
    const { files } = await store.runner.read(cx, {
      from: { kind: 'directory', root: context.root },
      paths: names,
      maxBytes: limit.dockerfileBytes,
    })
    for (const name of names) {
      const file = files.find(({ path }) => path.replace(/^\//, '') === name)
      if (file !== undefined) {
        return { text: decode(Buffer.from(file.base64, 'base64'), name), file: name, path: undefined }
      }
    }
    return missing(names[0] as string)
  }

  let read: ReturnType<typeof dockerfile> | undefined
  const once = (cx: Context): ReturnType<typeof dockerfile> => (read ??= dockerfile(cx))

  return {
    named,
    project: main.kind === 'directory' ? resolve(cwd, main.path) : options.context,
    dockerfile: once,
    time: async (cx) => (main.kind === 'git' || main.kind === 'http' ? (await openNamed(cx, '')).time : undefined),
    async open(cx, name) {
      const context = await openNamed(cx, name)
      if (context.local === undefined) {
        return context
      }
      if (name === '' && options.ignoreFile !== undefined) {
        const file = resolve(cwd, options.ignoreFile)
        return { ...context, ...((await readIgnore(file, cwd)) ?? missing(options.ignoreFile, 'It was named with --ignorefile.')) }
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

function missing(file: string, hint = 'Name the Dockerfile with -f, and give the context directory as the last argument.'): never {
  throw new StaveError('not-found', `cannot read ${file}: there is no such file`, { hint })
}

function readLocal(path: string, file: string): { text: string; file: string; path: string } | undefined {
  try {
    const { size } = statSync(path)
    if (size > limit.dockerfileBytes) {
      throw new StaveError('too-large', `cannot read ${file}: it has ${size} bytes, and at most ${limit.dockerfileBytes} are read`)
    }
    return { text: decode(readFileSync(path), file), file, path }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ENOTDIR') {
      return undefined
    }
    if (error instanceof StaveError) {
      throw error
    }
    throw new StaveError('io', `cannot read ${file}`, { cause: error })
  }
}

function decode(bytes: Uint8Array, file: string): string {
  if (bytes.length > limit.dockerfileBytes) {
    throw new StaveError('too-large', `cannot read ${file}: it has ${bytes.length} bytes, and at most ${limit.dockerfileBytes} are read`)
  }
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
    ...(dockerfile === undefined ? [] : [join(dirname(dockerfile), `${basename(dockerfile)}.dockerignore`)]),
    join(context, '.containerignore'),
    join(context, '.dockerignore'),
  ]
  for (const path of candidates) {
    const found = await readIgnore(path, cwd)
    if (found !== undefined) {
      return found
    }
  }
  return { ignore: [], ignoreFile: undefined }
}

async function readIgnore(path: string, cwd: string): Promise<{ ignore: readonly IgnorePattern[]; ignoreFile: string } | undefined> {
  const file = shown(cwd, path)
  const found = readLocal(path, file)
  if (found === undefined) {
    return undefined
  }
  const { parseIgnore } = await import('#dockerfile/ignore.ts')
  return { ignore: parseIgnore(found.text, file), ignoreFile: file }
}

async function openLocation(cx: Context, options: BuildOptions, location: ContextLocation, name: string): Promise<Opened> {
  const { store, cwd } = options
  const title = name === '' ? 'the build context' : `the context ${name}`
  const rest = { kind: 'directory' as const, ignore: [], ignoreFile: undefined, title }
  const sub = name === '' ? options.contextSubPath : undefined
  switch (location.kind) {
    case 'directory': {
      const path = resolve(cwd, location.path)
      const fd = openPath(path, `${title} ${location.path}`)
      if (fd.isDirectory) {
        return { ...rest, root: { fd: fd.fd }, local: path, dispose: () => closeSync(fd.fd) }
      }
      try {
        return await unpackContext(cx, store, { fd: fd.fd }, rest, sub)
      } finally {
        closeSync(fd.fd)
      }
    }
    case 'stdin': {
      const { receive } = await import('./ops/fetch.ts')
      if (options.stdin === undefined || options.file === '-') {
        throw new StaveError('usage', 'cannot read both the context and the Dockerfile from standard input')
      }
      const { file, dispose } = await receive(store, options.stdin)
      try {
        return await unpackContext(cx, store, file, rest, sub)
      } finally {
        await dispose()
      }
    }
    case 'http': {
      const { download } = await import('./ops/fetch.ts')
      const { file, dispose, lastModified } = await download(cx, store, location.url, options.proxy)
      const time = Math.floor(Date.parse(lastModified ?? '') / 1000)
      try {
        return { ...(await unpackContext(cx, store, file, rest, sub)), time: Number.isNaN(time) ? undefined : time }
      } finally {
        await dispose()
      }
    }
    case 'git': {
      const { checkout } = await import('./ops/git.ts')
      const keepGitDir = /^(?:1|true)$/i.test(options.buildArgs?.['BUILDKIT_CONTEXT_KEEP_GIT_DIR'] ?? '')
      const tree = await checkout(cx, store, location.url, keepGitDir ? { keepGitDir } : {})
      return { ...rest, root: tree.root, ignore: tree.ignore, local: undefined, dispose: tree.dispose, time: tree.time }
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
  mkdirSync(join(store.root, snapshot.place.path as string, 'context'))
  const root: Place = { fd: store.directory, path: `${snapshot.place.path as string}/context` }
  try {
    const path = file.path === undefined ? `/proc/self/fd/${file.fd}` : join(store.root, file.path)
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
      return { ...rest, root: { ...root, path: `${root.path as string}${below}` }, local: undefined, dispose }
    }
    return { ...rest, root, local: undefined, dispose, dockerfile: readFileSync(path) }
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
  if (options.stdin === undefined) {
    throw new StaveError('usage', 'cannot read the Dockerfile from standard input: there is none')
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of options.stdin) {
    size += chunk.length
    if (size > maxBytes) {
      throw new StaveError('too-large', `cannot read the Dockerfile from standard input: it has more than ${maxBytes} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
