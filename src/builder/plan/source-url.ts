import { StaveError } from '#error.ts'
import { redactUrl } from '#text/url.ts'

/** Where a build context, or one given with `--build-context`, comes from. */
export type ContextLocation =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'stdin' }
  | { readonly kind: 'git'; readonly url: string }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'image'; readonly location: string }

/** Which of them a text names. What is no URL is a path: a directory, or a tar file. */
export function parseContext(text: string): ContextLocation {
  if (text === '-') return { kind: 'stdin' }
  if (text.startsWith('docker-image://')) return { kind: 'image', location: text.slice('docker-image://'.length) }
  if (text.startsWith('oci-layout://')) {
    // A digest counts, and a tag before it does not; both are what comes after the path.
    const [, path = '', tag, digest] = /^(.*?)(?::([^:/@]*))?(?:@(.*))?$/s.exec(text.slice('oci-layout://'.length)) ?? []
    const name = digest ?? tag
    return { kind: 'image', location: name === undefined ? `oci:${path}` : `oci:${path}:${name}` }
  }
  if (isGitUrl(text)) return { kind: 'git', url: text }
  if (text.startsWith('github.com/')) return { kind: 'git', url: `https://${text}` }
  if (isHttpUrl(text)) return { kind: 'http', url: text }
  const scheme = /^([a-z][a-z0-9+.-]*):(?:\/\/)?/.exec(text)?.[1]
  if (scheme === 'target' || scheme === 'input')
    throw new StaveError('unsupported', `cannot use context ${JSON.stringify(text)}: ${scheme}: contexts exist only in bake files`)
  if (scheme !== undefined && text.startsWith(`${scheme}://`)) {
    throw new StaveError('usage', `cannot use context ${JSON.stringify(text)}: unknown scheme ${scheme}://`, {
      hint: 'Known are docker-image://, oci-layout://, git URLs (https://….git, ssh://, git://, git@…), http:// and https://.',
    })
  }
  return { kind: 'directory', path: text }
}

export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text)
}

/** `https` is git only where its path ends in `.git`. @see builder reference, "ADD git" */
export function isGitUrl(text: string): boolean {
  if (/^(?:ssh|git):\/\//i.test(text) || /^[a-z0-9_.-]+@[a-z0-9.-]+:(?!\/\/)/i.test(text)) return true
  return isHttpUrl(text) && /\.git$/i.test(text.replace(/[?#].*$/s, ''))
}

export interface GitSource {
  /** What git fetches from. */
  readonly remote: string
  /** Branch, tag, full ref or commit. Absent: the remote's HEAD. */
  readonly ref: string | undefined
  readonly subdir: string | undefined
  readonly checksum: string | undefined
  readonly keepGitDir: boolean | undefined
  readonly submodules: boolean
  /** `commit`: files have the time of the commit. */
  readonly mtime: 'checkout' | 'commit'
  /** The checksum names the commit, wherever the ref is now. */
  readonly fetchByCommit: boolean
}

/**
 * Takes `remote#ref:subdir` and the query form (`?ref= &tag= &branch= &subdir= &checksum= …`) apart.
 *
 * @throws StaveError `usage`
 */
export function parseGitUrl(text: string): GitSource {
  const fail = (why: string): never => {
    throw new StaveError('usage', `cannot use git URL ${JSON.stringify(redactUrl(text))}: ${why}`)
  }
  const hash = text.indexOf('#')
  const beforeHash = hash < 0 ? text : text.slice(0, hash)
  const [ref = '', subdir = ''] = hash < 0 ? [] : splitOnce(text.slice(hash + 1), ':')
  const question = beforeHash.indexOf('?')
  const remote = question < 0 ? beforeHash : beforeHash.slice(0, question)
  const query = readQuery(question < 0 ? '' : beforeHash.slice(question + 1), fail)
  const named = [
    query.get('ref'),
    query.has('tag') ? under('refs/tags/', query.get('tag')!) : undefined,
    query.has('branch') ? under('refs/heads/', query.get('branch')!) : undefined,
    ref === '' ? undefined : ref,
  ].filter((part) => part !== undefined)
  if (new Set(named).size > 1 || (subdir !== '' && query.has('subdir') && query.get('subdir') !== subdir))
    fail('what it says of the ref, or of the directory, contradicts itself')
  const [wanted] = named
  // A ref is given to git as an argument: one that looks like an option, or like a refspec, is none.
  if (wanted !== undefined && (wanted.startsWith('-') || /[\s:+^~?*[\\\x00-\x1f]/.test(wanted) || wanted.includes('..')))
    fail(`${JSON.stringify(wanted)} is not a branch, tag or commit`)
  if (remote.startsWith('-') || /[\x00-\x20]/.test(remote)) fail('it has blanks or starts with a dash')
  const mtime = query.get('mtime') ?? 'checkout'
  if (mtime !== 'checkout' && mtime !== 'commit') return fail(`mtime is checkout or commit, not ${JSON.stringify(mtime)}`)
  const flag = (name: string): boolean | undefined => (query.has(name) ? booleanOf(query.get(name)!, name, fail) : undefined)
  return {
    remote,
    ref: wanted,
    subdir: (subdir === '' ? query.get('subdir') : subdir) || undefined,
    checksum: query.get('checksum') ?? query.get('commit'),
    keepGitDir: flag('keep-git-dir'),
    submodules: flag('submodules') ?? true,
    mtime,
    fetchByCommit: flag('fetch-by-commit') ?? false,
  }
}

/** A key without a value says yes; only these can do without. */
const gitFlags: ReadonlySet<string> = new Set(['keep-git-dir', 'submodules', 'fetch-by-commit'])
const gitQuery: ReadonlySet<string> = new Set([...gitFlags, 'ref', 'tag', 'branch', 'commit', 'subdir', 'checksum', 'mtime'])

function readQuery(text: string, fail: (why: string) => never): Map<string, string> {
  const query = new Map<string, string>()
  for (const [key, value] of new URLSearchParams(text)) {
    if (!gitQuery.has(key)) fail(`unknown query key ${JSON.stringify(key)}`)
    if (query.has(key)) fail(`${key} is given twice`)
    if (value === '' && !gitFlags.has(key)) fail(`${key} has no value`)
    query.set(key, value)
  }
  return query
}

function under(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : `${prefix}${name}`
}

/** As Go's strconv.ParseBool. */
function booleanOf(text: string, name: string, fail: (why: string) => never): boolean {
  if (text === '' || /^(?:1|t|true)$/i.test(text)) return true
  return /^(?:0|f|false)$/i.test(text) ? false : fail(`${name} is true or false, not ${JSON.stringify(text)}`)
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

/** The name that ADD gives to what it downloads: the last part of the decoded path, slashes at its end apart. @see BuildKit, "ADD" */
export function fileNameOf(url: string): string {
  const name = decodedPath(new URL(url).pathname).replace(/\/+$/, '').split('/').at(-1) ?? ''
  return name === '' || name === '.' || name === '..' || name.includes('\0') ? '__unnamed__' : name
}

function decodedPath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
