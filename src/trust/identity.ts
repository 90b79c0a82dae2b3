import { formatReference, parseReference, type Reference } from '#oci/reference.ts'

/** What a signature may say that the image is called. @see containers-policy.json(5), "signedIdentity" */
export type SignedIdentity =
  | { readonly type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly type: 'exactReference'; readonly dockerReference: string }
  | { readonly type: 'exactRepository'; readonly dockerRepository: string }
  /** Only the content counts. No policy file can say so. */
  | { readonly type: 'anything' }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string }

const fields: Readonly<Record<Exclude<SignedIdentity['type'], 'anything'>, readonly string[]>> = {
  matchExact: [],
  matchRepoDigestOrExact: [],
  matchRepository: [],
  exactReference: ['dockerReference'],
  exactRepository: ['dockerRepository'],
  remapIdentity: ['prefix', 'signedPrefix'],
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Reads the `signedIdentity` of a requirement; `fail` tells what is wrong with it. */
export function readIdentity(value: unknown, fail: (why: string) => never): SignedIdentity {
  if (!isRecord(value)) return fail('it is not an object')
  const { type } = value
  if (typeof type !== 'string' || !Object.hasOwn(fields, type)) return fail(`there is no type ${JSON.stringify(type)}`)
  const wanted = fields[type as keyof typeof fields]
  const unknown = Object.keys(value).find((key) => key !== 'type' && !wanted.includes(key))
  if (unknown !== undefined) return fail(`${JSON.stringify(unknown)} is not known`)
  const missing = wanted.find((key) => typeof value[key] !== 'string' || value[key] === '')
  if (missing !== undefined) return fail(`${missing} is missing`)
  return value as unknown as SignedIdentity
}

/** Does a signature for `signed` count for the image that was asked for as `wanted`? */
export function accepts(identity: SignedIdentity, wanted: Reference, signed: string): boolean {
  let found: Reference
  try {
    found = parseReference(signed)
  } catch {
    return false
  }
  switch (identity.type) {
    case 'anything':
      return true
    case 'matchExact':
      return (wanted.tag !== undefined || wanted.digest !== undefined) && same(wanted, found)
    case 'matchRepoDigestOrExact':
      return repoDigestOrExact(wanted, found)
    case 'matchRepository':
      return repository(wanted) === repository(found)
    case 'exactReference':
      return same(parseReference(identity.dockerReference), found)
    case 'exactRepository':
      return repository(parseReference(identity.dockerRepository)) === repository(found)
    case 'remapIdentity':
      return repoDigestOrExact(remapped(identity, wanted), found)
  }
}

/** An image by its digest is what it is, wherever it was signed under; one by its tag must have been signed as that. */
function repoDigestOrExact(wanted: Reference, found: Reference): boolean {
  if (wanted.digest !== undefined) return repository(wanted) === repository(found)
  return wanted.tag !== undefined && same(wanted, found)
}

function remapped({ prefix, signedPrefix }: { prefix: string; signedPrefix: string }, wanted: Reference): Reference {
  const text = formatReference(wanted)
  const isWithin = text === prefix || (text.startsWith(prefix) && '/:@'.includes(text[prefix.length] as string))
  return isWithin ? parseReference(`${signedPrefix}${text.slice(prefix.length)}`) : wanted
}

function repository({ registry, repository: name }: Reference): string {
  return `${registry}/${name}`
}

function same(one: Reference, other: Reference): boolean {
  return formatReference(one) === formatReference(other)
}
