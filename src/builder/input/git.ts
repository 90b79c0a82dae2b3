import { layout, pathOf, placeOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { IgnorePattern, Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { Session } from '../session.ts'
import type { Directory } from '../solved.ts'
import type { GitOp, Step } from '../plan/step.ts'
import { existsSync, mkdirSync, rmSync, utimesSync } from 'node:fs'
import { join, posix } from 'node:path'
import { hasCode, placed, StaveError } from '#error.ts'
import { digestHex, digestOf } from '#oci/digest.ts'
import { redactUrl, splitUserinfo } from '#text/url.ts'
import { gitAuthorization, urlAuthorization } from './authorization.ts'
import { gitFor, type Git, type GitMeans } from './git-command.ts'
import { get } from './http.ts'
import { lock } from '#store/lock.ts'
import { isHttpUrl, parseGitUrl, type GitSource } from '../plan/source-url.ts'

export interface Checkout {
  readonly root: Place
  /** Leaves git's own files out, those of submodules too. */
  readonly ignore: readonly IgnorePattern[]
  readonly commit: string
  /** Of the commit, in seconds since 1970. */
  readonly time: number
  /** The files shall have that time, and not that of the checkout. */
  readonly hasItsTime: boolean
  readonly dispose: () => Promise<void>
}

export interface CheckoutOptions extends Omit<GitMeans, 'knownHosts'> {
  readonly keepGitDir?: boolean
  /** A commit, or the beginning of one: anything else is an error. */
  readonly checksum?: string
}

/** Fetches one commit of a repository and puts its files into a directory of the store. */
export async function checkout(cx: Context, store: Store, url: string, options: CheckoutOptions = {}): Promise<Checkout> {
  const parsed = parseGitUrl(url)
  const source = { ...parsed, checksum: options.checksum ?? parsed.checksum }
  const keep = options.keepGitDir ?? source.keepGitDir ?? false
  mkdirSync(pathOf(store, layout.repositories), { recursive: true })
  const { remote, authorization } = await locate(cx, source.remote, options)
  const git = gitFor(cx, remote, { ...options, authorization, knownHosts: pathOf(store, layout.knownHosts) })

  const found = await findCommit(git, remote, source)
  const format = found.commit.length === 64 ? 'sha256' : 'sha1'
  // Keyed by what was named, not by where that leads today.
  const name = layout.repository(digestHex(digestOf(format === 'sha1' ? source.remote : `${source.remote} ${format}`)))
  const repository = pathOf(store, name)
  using _held = await lock(cx, store, `${name}.lock`)
  await git(['init', '--quiet', '--bare', '--initial-branch=stave', `--object-format=${format}`, repository])
  const commit = await fetchCommit(git, repository, remote, found)
  const time = Number((await git(['--git-dir', repository, 'show', '-s', '--format=%ct', commit])).trim())

  const snapshot = await store.snapshots.create()
  const dispose = (): Promise<void> => store.snapshots.discard(snapshot.id)
  try {
    const directory = `${snapshot.place.path as string}/tree`
    const path = pathOf(store, directory)
    mkdirSync(path)
    const hasSubmodules =
      source.submodules && (await git(['--git-dir', repository, 'ls-tree', '--name-only', commit, '.gitmodules'])).trim() !== ''
    if (keep || hasSubmodules) await clone(git, repository, path, { remote: source.remote, commit, format, ref: found.ref, hasSubmodules })
    else await git(['--git-dir', repository, '--work-tree', path, 'read-tree', '--reset', '-u', commit])
    const subdir = source.subdir === undefined ? '' : posix.join('/', source.subdir)
    const ignore = keep ? [] : [{ pattern: '**/.git', negated: false, line: 0 }]
    const root = placeOf(store, subdir === '/' ? directory : `${directory}${subdir}`)
    return { ignore, root, commit, time, hasItsTime: source.mtime === 'commit', dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/**
 * Where a remote really is. Its redirects are followed here, by the rules of every download; git then follows none with
 * an Authorization header, which is for the origin that it was given for. User and password of the URL become one too.
 */
async function locate(
  cx: Context,
  named: string,
  { proxy, ...means }: CheckoutOptions,
): Promise<{ readonly remote: string; readonly authorization: string | undefined }> {
  const { url: remote } = isHttpUrl(named) ? splitUserinfo(named) : { url: named }
  if (!isHttpUrl(remote)) return { remote, authorization: undefined }
  const authorization = means.authorization ?? urlAuthorization(named)
  const service = '/info/refs?service=git-upload-pack'
  const answer = await get(cx, { url: `${remote}${service}`, authorization, proxy, headers: { 'git-protocol': 'version=2' } })
  await answer.discard()
  const reached = answer.url.href
  if (reached === new URL(`${remote}${service}`).href) return { remote, authorization }
  if (!reached.endsWith(service)) {
    const where = redactUrl(answer.url.origin + answer.url.pathname)
    throw new StaveError('network', `cannot get ${redactUrl(named)}: it redirects to ${where}, which is no repository`)
  }
  const isSame = answer.url.origin === new URL(remote).origin
  return { remote: reached.slice(0, -service.length), authorization: isSame ? authorization : undefined }
}

/** What a URL stands for at the remote, now. */
interface Found {
  readonly commit: string
  /** The full name of the branch or tag. */
  readonly ref: string | undefined
}

/** As BuildKit: a full ref goes before a branch, and a branch before a tag of the same name. */
async function findCommit(git: Git, remote: string, source: GitSource): Promise<Found> {
  const { ref = 'HEAD', checksum } = source
  const shown = redactUrl(remote)
  if (isCommit(ref)) return checked({ commit: ref.toLowerCase(), ref: undefined }, [ref], checksum, shown)
  if (source.fetchByCommit && checksum !== undefined) {
    if (!isCommit(checksum)) throw new StaveError('usage', `cannot use ${shown}: fetch-by-commit takes a whole commit, not ${checksum}`)
    return { commit: checksum.toLowerCase(), ref: undefined }
  }
  // HEAD may have moved on from a commit that is named whole.
  if (source.ref === undefined && checksum !== undefined && isCommit(checksum)) return { commit: checksum.toLowerCase(), ref: undefined }
  const lines = (await git(['ls-remote', '--', remote, ref, `${ref}^{}`])).split('\n').map((line) => line.split('\t'))
  const known = new Map(lines.map(([commit = '', name = '']) => [name, commit]))
  const candidates = ref === 'HEAD' ? ['HEAD'] : [ref, `refs/${ref}`, `refs/heads/${ref}`, `refs/tags/${ref}`]
  const name = candidates.find((candidate) => known.has(candidate))
  const object = name === undefined ? undefined : known.get(name)
  if (name === undefined || object === undefined || !isCommit(object)) {
    throw new StaveError('not-found', `cannot get ${shown}: it has no branch, tag or commit ${JSON.stringify(ref)}`, {
      ...(/^[0-9a-f]{7,39}$/i.test(ref) ? { hint: 'A commit is named by all of its digits.' } : {}),
    })
  }
  // An annotated tag is an object that names a commit.
  const commit = known.get(`${name}^{}`) ?? object
  return checked({ commit, ref: name === 'HEAD' ? undefined : name }, [commit, object], checksum, shown)
}

function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/i.test(text)
}

function checked(found: Found, objects: readonly string[], checksum: string | undefined, shown: string): Found {
  const wanted = checksum?.toLowerCase()
  if (wanted === undefined || (/^[0-9a-f]{7,64}$/.test(wanted) && objects.some((object) => object.startsWith(wanted)))) return found
  throw new StaveError('digest-mismatch', `cannot use ${shown}: its commit is ${found.commit}, not ${checksum}`)
}

/** Gets a commit into the cache: by its branch or tag, directly where the server gives it, else through all refs. */
async function fetchCommit(git: Git, repository: string, remote: string, { commit, ref }: Found): Promise<string> {
  const inRepository = ['--git-dir', repository]
  const resolve = async (): Promise<string> =>
    (await git([...inRepository, 'rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{commit}`])).trim()
  const fetch = (...words: readonly string[]): Promise<string> => git([...inRepository, 'fetch', '--quiet', '--force', ...words])
  const ways = [
    async () => touch(join(repository, 'FETCH_HEAD')),
    ...(ref === undefined ? [] : [() => fetch('--depth=1', '--no-tags', '--', remote, ref)]),
    () => fetch('--depth=1', '--no-tags', '--', remote, commit),
    // The dumb protocol of a plain web server knows no depth, and not every server gives what it does not name.
    () => fetch('--tags', '--', remote, '+refs/*:refs/stave/*'),
  ]
  let failure: unknown
  for (const way of ways) {
    try {
      await way()
      return await resolve()
    } catch (error) {
      if (hasCode(error, 'cancelled')) throw error
      failure = error
    }
  }
  throw failure
}

/** Says that the repository was of use now: prune goes by it. */
function touch(file: string): void {
  if (existsSync(file)) utimesSync(file, new Date(), new Date())
}

interface Clone extends Found {
  readonly remote: string
  readonly format: 'sha1' | 'sha256'
  readonly hasSubmodules: boolean
}

/** A repository of its own, whose remote is the one that was named and not this cache. It is the same each time, to the byte. */
async function clone(git: Git, repository: string, path: string, { remote, commit, ref, format, hasSubmodules }: Clone): Promise<void> {
  const inClone = ['--git-dir', join(path, '.git')]
  await git(['init', '--quiet', '--initial-branch=stave', '--template=', `--object-format=${format}`, path])
  await git([...inClone, '-c', 'protocol.file.allow=always', 'fetch', '--quiet', '--depth=1', '--no-tags', repository, commit])
  await git(['remote', 'add', 'origin', redactUrl(remote)], path)
  if (ref !== undefined) await git([...inClone, 'update-ref', '--no-deref', ref, commit])
  await git(['checkout', '--quiet', '--force', '--detach', commit], path)
  if (hasSubmodules) await git(['submodule', 'update', '--init', '--recursive', '--depth=1', '--quiet'], path)
  // What tells of when and from where it was fetched; times and inodes of the files; how the cache had packed them.
  await git(['reflog', 'expire', '--all', '--expire=now'], path)
  for (const file of ['FETCH_HEAD', 'ORIG_HEAD', 'logs', 'index']) rmSync(join(path, '.git', file), { recursive: true, force: true })
  await git(['read-tree', 'HEAD'], path)
  await git(['-c', 'pack.threads=1', 'repack', '-q', '-a', '-d', '-F'], path)
}

/** A commit as provenance names it. @see in-toto, "DigestSet" */
export function commitDigest(commit: string): Readonly<Record<string, string>> {
  return { [commit.length === 64 ? 'sha256' : 'sha1']: commit }
}

/** ADD of a repository, or a named context that is one. */
export async function gitDirectory(cx: Context, session: Session, step: Step, op: GitOp): Promise<Directory> {
  try {
    const tree = await checkoutOf(cx, session, op)
    session.disposals.push(tree.dispose)
    session.materials.set(step.id, { uri: redactUrl(op.url), digest: commitDigest(tree.commit) })
    const latest = tree.hasItsTime ? { latest: tree.time } : {}
    return { kind: 'directory', root: tree.root, ignore: tree.ignore, ignoreFile: undefined, title: redactUrl(op.url), ...latest }
  } catch (error) {
    throw placed(error, step.span)
  }
}

/** What an ADD asks for, with what this build may give to it. */
export function checkoutOf(
  cx: Context,
  { options, store, secrets, contexts }: Pick<Session, 'options' | 'store' | 'secrets' | 'contexts'>,
  op: GitOp,
): ReturnType<typeof checkout> {
  return checkout(cx, store, op.url, {
    ...(op.keepGitDir !== undefined && { keepGitDir: op.keepGitDir }),
    ...(op.checksum !== undefined && { checksum: op.checksum }),
    agent: op.isForeign ? undefined : options.ssh?.find(({ id }) => id === 'default')?.socket,
    authorization: gitAuthorization(cx, secrets, op.isForeign ? { ...contexts.trust, isLocal: false } : contexts.trust, op.url),
    proxy: options.proxy,
    authorities: options.authorities,
  })
}
