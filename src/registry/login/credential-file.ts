import { readFileSync, statSync } from 'node:fs'
import { open, rename, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { type Credential, identityTokenUser, isDockerHub, serverNames } from './credential.ts'

/** `containers`: keys may name a repository or namespace. `docker`: hosts only. `legacy`: ~/.dockercfg, the entries alone. */
export type FileFormat = 'containers' | 'docker' | 'legacy'

/** What is needed of a credential file. */
export interface AuthFile {
  readonly path: string
  readonly format: FileFormat
  readonly auths: Readonly<Record<string, AuthEntry>>
  readonly credHelpers: Readonly<Record<string, string>>
  readonly credsStore: string | undefined
}

interface AuthEntry {
  readonly auth?: unknown
  readonly username?: unknown
  readonly password?: unknown
  readonly identitytoken?: unknown
  readonly registrytoken?: unknown
}

type Found = Credential extends infer Kind ? (Kind extends unknown ? Omit<Kind, 'from'> : never) : never

/** Undefined when there is no such file. @throws StaveError `credentials` when it cannot be read or understood */
export async function readAuthFile(file: string, format: FileFormat): Promise<AuthFile | undefined> {
  const document = readDocument(file)
  if (document === undefined) return undefined
  const auths = format === 'legacy' ? document : document.auths
  return {
    path: file,
    format,
    auths: isRecord(auths) ? (auths as Record<string, AuthEntry>) : {},
    credHelpers: format === 'legacy' || !isRecord(document.credHelpers) ? {} : strings(document.credHelpers),
    credsStore:
      format !== 'legacy' && typeof document.credsStore === 'string' && document.credsStore !== '' ? document.credsStore : undefined,
  }
}

/**
 * Finds the entry for a repository: by its full name, by each of its namespaces, by the host, then by the host as
 * older tools wrote it (`https://host/v1/`).
 */
export function lookUp(file: AuthFile, registry: string, repository: string): Found | undefined {
  return entryFor(file, registry, repository)?.found
}

/** The same, and the key that it stands under. */
export function entryFor(
  file: AuthFile,
  registry: string,
  repository: string,
): { readonly key: string; readonly found: Found } | undefined {
  const exact: string[] = []
  if (file.format === 'containers') {
    const names = isDockerHub(registry) ? ['docker.io', 'index.docker.io'] : [registry]
    const parts = repository.split('/')
    for (let length = parts.length; length > 0; length--)
      for (const name of names) exact.push(`${name}/${parts.slice(0, length).join('/')}`)
  }
  exact.push(...serverNames(registry))
  for (const key of exact) {
    const found = Object.hasOwn(file.auths, key) ? decodeEntry(file, key, file.auths[key]!) : undefined
    if (found !== undefined) return { key, found }
  }
  const hosts = new Set(serverNames(registry).map(hostOf))
  for (const [key, entry] of Object.entries(file.auths)) {
    if (!isOldKey(key) || !hosts.has(hostOf(key))) continue
    const found = decodeEntry(file, key, entry)
    if (found !== undefined) return { key, found }
  }
  return undefined
}

function decodeEntry(file: AuthFile, key: string, entry: AuthEntry): Found | undefined {
  if (!isRecord(entry)) return undefined
  const { username, password } = decodeAuth(file, key, entry)
  if (isText(entry.registrytoken)) return { kind: 'registry-token', token: entry.registrytoken }
  if (isText(entry.identitytoken)) return { kind: 'identity-token', username: username ?? identityTokenUser, token: entry.identitytoken }
  return username === undefined || password === undefined ? undefined : { kind: 'password', username, password }
}

function decodeAuth(file: AuthFile, key: string, entry: AuthEntry): { username?: string | undefined; password?: string | undefined } {
  if (isText(entry.auth)) {
    const text = Buffer.from(entry.auth, 'base64').toString('utf8')
    const colon = text.indexOf(':')
    // Docker pads with NUL bytes.
    if (colon > 0) return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/^\0+|\0+$/g, '') }
    // To go on without it would look like a registry that refuses; what stands there may be a secret, and is not shown.
    throw broken(file.path, `the "auth" of ${key} is not the base64 of a user, a colon and a password`)
  }
  return {
    username: isText(entry.username) ? entry.username : undefined,
    password: isText(entry.password) ? entry.password : undefined,
  }
}

// `https://quay.io/v1/` is an old way to say `quay.io`; `quay.io/acme` is a namespace, and must not match other ones.
function isOldKey(key: string): boolean {
  return /^https?:\/\//.test(key) || /^[^/]+\/(v[12]\/?)?$/.test(key)
}

function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
}

/**
 * Sets, or with undefined removes, the entry of a key, and keeps everything else in the file.
 *
 * @returns whether there was such an entry before
 * @throws StaveError `credentials`
 */
export async function changeAuthFile(file: string, format: FileFormat, key: string, entry: object | undefined): Promise<boolean> {
  const release = await lock(file)
  try {
    const document = readDocument(file) ?? {}
    const current = format === 'legacy' ? document : isRecord(document.auths) ? document.auths : {}
    const existed = Object.hasOwn(current, key)
    if (entry === undefined && !existed) return false
    const auths = Object.fromEntries(Object.entries(current).filter(([name]) => name !== key))
    if (entry !== undefined) auths[key] = entry
    await replace(file, `${JSON.stringify(format === 'legacy' ? auths : { ...document, auths }, undefined, '\t')}\n`)
    return existed
  } finally {
    await release()
  }
}

function readDocument(file: string): Record<string, unknown> | undefined {
  let text: string
  try {
    const { size } = statSync(file)
    if (size > limit.jsonBytes) throw broken(file, 'it is far too large')
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error instanceof StaveError ? error : broken(file, 'it cannot be read', error)
  }
  if (text.trim() === '') return {}
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // The parser's message quotes the text, which holds secrets.
    throw broken(file, 'it is not valid JSON')
  }
  if (!isRecord(document)) throw broken(file, 'it is not a JSON object')
  return document
}

// Atomic, and never readable by others, not even for a moment.
async function replace(file: string, text: string): Promise<void> {
  const target = file
  const temporary = `${target}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`
  try {
    makeDirectories(path.dirname(target), 0o700)
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, target)
  } catch (error) {
    await unlink(temporary).catch(() => {})
    throw broken(file, 'it cannot be written', error)
  }
}

const lockAttempts = 100
const lockWaitMs = 50

// Two logins at once must not lose one another's entries. A lock file that a killed process left is taken over.
async function lock(file: string): Promise<() => Promise<void>> {
  const name = `${file}.lock`
  try {
    makeDirectories(path.dirname(file), 0o700)
  } catch (error) {
    throw broken(file, 'its directory cannot be made', error)
  }
  for (let attempt = 0; attempt < lockAttempts; attempt++) {
    try {
      await (await open(name, 'wx', 0o600)).close()
      return () => unlink(name).catch(() => {})
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw broken(file, 'it cannot be locked', error)
      const age = await stat(name).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => 0,
      )
      if (age > lockAttempts * lockWaitMs) await unlink(name).catch(() => {})
      else await new Promise((resolve) => setTimeout(resolve, lockWaitMs))
    }
  }
  throw broken(file, 'another process holds its lock')
}

function broken(file: string, why: string, cause?: unknown): StaveError {
  return new StaveError('credentials', `cannot use credential file ${JSON.stringify(file)}: ${why}`, {
    ...(cause !== undefined && { cause }),
    hint: 'Mend or remove it, then log in again with `stave login`.',
  })
}

function strings(record: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
