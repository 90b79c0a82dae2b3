import type { Context } from '#context.ts'
import type { Store } from '#store/store.ts'
import type { BuildOptions } from '../options.ts'
import type { ContextLocation } from '../plan/source-url.ts'
import type { Directory } from '../solved.ts'
import { existsSync, readFileSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { hasCode, StaveError } from '#error.ts'
import { fileError, readWholeFile } from '#image/file.ts'
import * as limit from '#limit.ts'
import { pathOf } from '#store/layout.ts'
import { redactUrl, splitUserinfo } from '#text/url.ts'
import { urlAuthorization } from './authorization.ts'
import { isHttpUrl } from '../plan/source-url.ts'

/** Text of a Dockerfile, its name for messages, and its path if it is a file of this machine. */
export interface Dockerfile {
  readonly text: string
  readonly file: string
  readonly path: string | undefined
}

/** What is asked of the main context. */
export interface DockerfileContext extends Directory {
  /** The directory, if it is one of this machine. */
  readonly local: string | undefined
  /** What came in place of a context, and is a Dockerfile alone. */
  readonly dockerfile?: Uint8Array
}

/**
 * Reads the Dockerfile from where `--file` says, else from the context.
 *
 * @param open Opens the main context: not asked for where the file is not in it
 */
export async function readDockerfile(
  cx: Context,
  options: BuildOptions,
  main: ContextLocation,
  open: () => Promise<DockerfileContext>,
): Promise<Dockerfile> {
  const { file } = options
  if (file === '-') return { text: decode(await readStdin(options, limit.dockerfileBytes), '-'), file: 'stdin', path: undefined }
  if (file !== undefined && isHttpUrl(file)) return downloadDockerfile(cx, options, file)
  if (file !== undefined && (isAbsolute(file) || main.kind === 'directory')) return namedDockerfile(options, file, main)
  const context = await open()
  if (context.dockerfile !== undefined) return { text: decode(context.dockerfile, 'Dockerfile'), file: 'Dockerfile', path: undefined }
  const names = file === undefined ? defaultNames : [file]
  return context.local === undefined
    ? dockerfileFrom(cx, options.store, context, names)
    : localDockerfile(cx, options.cwd, context.local, names)
}

/** A relative name is looked for in the working directory first, and then in the context. */
async function namedDockerfile({ cwd }: BuildOptions, file: string, main: ContextLocation): Promise<Dockerfile> {
  const context = main.kind === 'directory' ? resolve(cwd, main.path) : undefined
  const found = await readLocal(resolve(cwd, file), file, context)
  if (found !== undefined || context === undefined || isAbsolute(file)) return found ?? missing(file)
  const inContext = resolve(context, file)
  return (await readLocal(inContext, relative(cwd, inContext), context)) ?? missing(file)
}

async function localDockerfile(cx: Context, cwd: string, local: string, names: readonly string[]): Promise<Dockerfile> {
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

/** Files of a context from elsewhere are not opened by name: a link in it could lead anywhere. */
async function dockerfileFrom(cx: Context, store: Store, { root }: Directory, names: readonly string[]): Promise<Dockerfile> {
  const { files } = await store.runner.read(cx, {
    from: { kind: 'directory', root },
    paths: names,
    maxBytes: limit.dockerfileBytes,
  })
  const find = (name: string) => files.find(({ path }) => path.replace(/^\//, '') === name)
  for (const name of names) {
    const file = find(name)
    if (file === undefined) continue
    sayWhich(cx, name, (other) => find(other) !== undefined)
    return { text: decode(Buffer.from(file.base64, 'base64'), name), file: name, path: undefined }
  }
  return missing(names[0] as string)
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

export function missing(file: string, hint = 'Name the Dockerfile with -f, and give the context directory as the last argument.'): never {
  throw new StaveError('not-found', `cannot read ${file}: there is no such file`, { hint })
}

/**
 * Reads a Dockerfile or an ignore file. Who wrote the context has not made this machine: what lies in it is a regular file, and a
 * link leads to no place outside. What a person names outside of it may be anything, a pipe too.
 */
export async function readLocal(
  path: string,
  file: string,
  context?: string,
): Promise<(Dockerfile & { readonly path: string }) | undefined> {
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

async function downloadDockerfile(cx: Context, { store, proxy }: BuildOptions, url: string): Promise<Dockerfile> {
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

export function shown(cwd: string, path: string): string {
  const short = relative(cwd, path)
  return short.startsWith('..') || short === '' ? path : short
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
