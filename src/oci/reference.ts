import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { isDigest, parseDigest, type Digest } from './digest.ts'

/** A name of an image, normalised: `docker.io/library/debian:12`. */
export interface Reference {
  /** Host, with port where given: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string
  /** `library/debian` */
  readonly repository: string
  readonly tag?: string
  readonly digest?: Digest
}

const defaultRegistry = 'docker.io'
/** Another name of the default registry, from the times of Docker's index. */
const legacyRegistry = 'index.docker.io'
const defaultTag = 'latest'
const officialPrefix = 'library/'

// The grammar of distribution/reference, without its anchors. Each alternative begins with a character that the one
// before it cannot end with, so matching takes time in proportion to the length.
const label = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const host = `(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])`
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const registryPattern = new RegExp(`^${host}(?::[0-9]+)?$`)
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`)
const tagPattern = /^[\w][\w.-]{0,127}$/

/**
 * Reads a reference as Docker does: `debian` is `docker.io/library/debian:latest`. The first part is a registry if it
 * has a dot, a colon or an upper-case letter, or is `localhost`. With a digest, no tag is made up.
 *
 * @throws StaveError `invalid-reference`, `invalid-digest`
 * @see distribution/reference, its grammar and `ParseNormalizedNamed`
 */
export function parseReference(text: string): Reference {
  const { name, tag, digest } = split(text)
  const { registry, repository } = splitRegistry(name)

  if (/^[0-9a-f]{64}$/.test(text)) throw bad(text, '64 hexadecimal digits are an identifier, not a name')
  if (!registryPattern.test(registry)) throw bad(text, `${quote(registry)} is not a host name with an optional port`)
  if (repository === '') throw bad(text, 'the repository is missing')
  if (/[A-Z]/.test(repository)) {
    // `library/` was not typed.
    const lowered = text.includes(repository) ? repository : repository.replace(/^library\//, '')
    throw bad(text, 'the repository must be in lower case', `Did you mean ${quote(text.replace(lowered, lowered.toLowerCase()))}?`)
  }
  if (!repositoryPattern.test(repository)) {
    throw bad(
      text,
      `${quote(repository)} is not a repository: words of a-z and 0-9, joined by \`.\`, \`_\`, \`__\` or dashes, in parts separated by \`/\``,
    )
  }
  if (repository.length > limit.repositoryLength) throw bad(text, `the repository has more than ${limit.repositoryLength} characters`)
  if (tag !== undefined && !tagPattern.test(tag))
    throw bad(text, `${quote(tag)} is not a tag: at most 128 of A-Z, a-z, 0-9, \`_\`, \`.\`, \`-\`, and none of the last two at its start`)
  const effectiveTag = tag ?? (digest === undefined ? defaultTag : undefined)
  return {
    registry,
    repository,
    ...(effectiveTag !== undefined && { tag: effectiveTag }),
    ...(digest !== undefined && { digest: parseDigest(digest) }),
  }
}

/** Is it the id of an image, which only a store knows: `sha256:` with the beginning of it, or all 64 digits? No registry has such a name. */
export function isImageId(text: string): boolean {
  return /^(?:sha256:[0-9a-f]{4,64}|[0-9a-f]{64})$/.test(text)
}

/** Is it a tag that a registry accepts? */
export function isTag(text: string): boolean {
  return tagPattern.test(text)
}

/** Is it a repository's name, without registry and tag? */
export function isRepository(text: string): boolean {
  return text.length <= limit.repositoryLength && repositoryPattern.test(text)
}

/** The full name: `docker.io/library/debian:12`. Two references are the same if this is the same. */
export function formatReference(reference: Reference): string {
  return `${reference.registry}/${reference.repository}${suffix(reference)}`
}

/** The name as a person would type it, without what Docker fills in before it: `debian:12`, `ghcr.io/acme/web:1`. */
export function familiarName(reference: Reference): string {
  if (reference.registry !== defaultRegistry) return formatReference(reference)
  const { repository } = reference
  const rest = repository.slice(officialPrefix.length)
  const short = repository.startsWith(officialPrefix) && !rest.includes('/') ? rest : repository
  return short + suffix(reference)
}

function suffix(reference: Reference): string {
  return (reference.tag === undefined ? '' : `:${reference.tag}`) + (reference.digest === undefined ? '' : `@${reference.digest}`)
}

function split(text: string): { name: string; tag: string | undefined; digest: string | undefined } {
  if (text === '') throw bad(text, 'it is empty')
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  const rest = at < 0 ? text : text.slice(0, at)
  if (digest !== undefined && !isDigest(digest))
    throw bad(text, `${quote(digest)} is not a digest`, 'A digest is `sha256:` and 64 lower-case hexadecimal digits.')
  // A colon before the last slash belongs to the port.
  const colon = rest.indexOf(':', rest.lastIndexOf('/') + 1)
  return colon < 0 ? { name: rest, tag: undefined, digest } : { name: rest.slice(0, colon), tag: rest.slice(colon + 1), digest }
}

function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(slash, 0))
  const isRegistry = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase())
  const registry = !isRegistry || first === legacyRegistry ? defaultRegistry : first
  const repository = isRegistry ? name.slice(slash + 1) : name
  return {
    registry,
    repository: registry === defaultRegistry && !repository.includes('/') && repository !== '' ? officialPrefix + repository : repository,
  }
}

function bad(text: string, why: string, hint?: string): StaveError {
  return new StaveError(
    'invalid-reference',
    `cannot use ${quote(text)} as the name of an image: ${why}`,
    hint === undefined ? {} : { hint },
  )
}

function quote(text: string): string {
  return JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}…` : text)
}
