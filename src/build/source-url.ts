import { StaveError } from '#error.ts'

/** Where a build context, or one given with `--build-context`, comes from. */
export type ContextLocation =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'stdin' }
  | { readonly kind: 'git'; readonly url: string }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'image'; readonly location: string }

/** Which of them a text names. What is no URL is a path: a directory, or a tar file. */
export function parseContext(text: string): ContextLocation {
  if (text === '-') {
    return { kind: 'stdin' }
  }
  if (text.startsWith('docker-image://')) {
    return { kind: 'image', location: text.slice('docker-image://'.length) }
  }
  if (text.startsWith('oci-layout://')) {
    // A digest counts, and a tag before it does not; both are what comes after the path.
    const [, path = '', tag, digest] = /^(.*?)(?::([^:/@]*))?(?:@(.*))?$/s.exec(text.slice('oci-layout://'.length)) ?? []
    const name = digest ?? tag
    return { kind: 'image', location: name === undefined ? `oci:${path}` : `oci:${path}:${name}` }
  }
  if (isGitUrl(text)) {
    return { kind: 'git', url: text }
  }
  if (text.startsWith('github.com/')) {
    return { kind: 'git', url: `https://${text}` }
  }
  if (isHttpUrl(text)) {
    return { kind: 'http', url: text }
  }
  const scheme = /^([a-z][a-z0-9+.-]*):(?:\/\/)?/.exec(text)?.[1]
  if (scheme === 'target' || scheme === 'input') {
    throw new StaveError('unsupported', `cannot use context ${JSON.stringify(text)}: ${scheme}: contexts exist only in bake files`)
  }
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
  if (/^(?:ssh|git):\/\//i.test(text) || /^[a-z0-9_.-]+@[a-z0-9.-]+:(?!\/\/)/i.test(text)) {
    return true
  }
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
}

/** Takes `remote#ref:subdir` and the query form (`?ref= &tag= &branch= &subdir= &checksum= &keep-git-dir= &submodules=`) apart. */
export function parseGitUrl(text: string): GitSource {
  const hash = text.indexOf('#')
  const beforeHash = hash < 0 ? text : text.slice(0, hash)
  const [ref = '', subdir = ''] = hash < 0 ? [] : splitOnce(text.slice(hash + 1), ':')
  const question = beforeHash.indexOf('?')
  const remote = question < 0 ? beforeHash : beforeHash.slice(0, question)
  const query = new URLSearchParams(question < 0 ? '' : beforeHash.slice(question + 1))
  const named =
    query.get('ref') ??
    (query.has('tag') ? `refs/tags/${query.get('tag')}` : query.has('branch') ? `refs/heads/${query.get('branch')}` : '')
  for (const key of query.keys()) {
    if (!gitQuery.has(key)) {
      throw new StaveError('usage', `cannot use git URL ${JSON.stringify(text)}: unknown query key ${JSON.stringify(key)}`)
    }
  }
  if ((ref !== '' && named !== '' && ref !== named) || (subdir !== '' && query.has('subdir') && query.get('subdir') !== subdir)) {
    throw new StaveError('usage', `cannot use git URL ${JSON.stringify(text)}: its query and its fragment contradict each other`)
  }
  const wanted = ref === '' ? named : ref
  // A ref is given to git as an argument: one that looks like an option, or like a refspec, is none.
  if (wanted !== '' && (wanted.startsWith('-') || /[\s:+^~?*[\\\x00-\x1f]/.test(wanted) || wanted.includes('..'))) {
    throw new StaveError('usage', `cannot use git URL ${JSON.stringify(text)}: ${JSON.stringify(wanted)} is not a branch, tag or commit`)
  }
  if (remote.startsWith('-') || /[\x00-\x20]/.test(remote)) {
    throw new StaveError('usage', `cannot use git URL ${JSON.stringify(text)}: it has blanks or starts with a dash`)
  }
  const keep = query.get('keep-git-dir')
  return {
    remote,
    ref: wanted === '' ? undefined : wanted,
    subdir: (subdir === '' ? query.get('subdir') : subdir) || undefined,
    checksum: query.get('checksum') ?? query.get('commit') ?? undefined,
    keepGitDir: keep === null ? undefined : keep === '' || keep === 'true' || keep === '1',
    submodules: !['false', '0'].includes(query.get('submodules') ?? ''),
  }
}

const gitQuery = new Set(['ref', 'tag', 'branch', 'commit', 'subdir', 'checksum', 'keep-git-dir', 'submodules'])

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

/** The name that ADD gives to what it downloads: the last part of the path. */
export function fileNameOf(url: string): string {
  const path = new URL(url).pathname
  const name = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
  return name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0') ? '__unnamed__' : name
}
