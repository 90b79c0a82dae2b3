import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { parseJson } from '#oci/decode.ts'
import { isRecord, readIdentity, type SignedIdentity } from './identity.ts'

/** Bytes that a policy names: by a file, or in itself. */
export type Material = { readonly path: string } | { readonly data: Uint8Array }

/** What a signature by a certificate must say of who asked for it, and who vouches for the certificate. */
export interface Fulcio {
  readonly ca: Material
  readonly oidcIssuer: string
  readonly subjectEmail: string
}

export interface Pki {
  readonly roots: Material
  readonly intermediates?: Material
  readonly subjectEmail?: string
  readonly subjectHostname?: string
}

/** One condition that an image must meet. @see containers-policy.json(5), "Policy Requirements" */
export type Requirement =
  | { readonly type: 'insecureAcceptAnything' }
  | { readonly type: 'reject' }
  | { readonly type: 'signedBy'; readonly keys: readonly Material[]; readonly identity: SignedIdentity }
  | {
      readonly type: 'sigstoreSigned'
      /** Any of them will do. */
      readonly keys: readonly Material[]
      readonly fulcio?: Fulcio
      readonly pki?: Pki
      /** Keys of transparency logs: an entry of one of them is demanded where there are any. */
      readonly rekor: readonly Material[]
      readonly identity: SignedIdentity
    }

/** What may be used, by where it comes from. All requirements of the one scope that fits best must be met. */
export interface Policy {
  /** For messages. */
  readonly file: string
  readonly default: readonly Requirement[]
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, readonly Requirement[]>>
}

/** No policy at all: what `--insecure-policy` means, and a machine without a policy.json. */
export const acceptAnything: Policy = { file: '', default: [{ type: 'insecureAcceptAnything' }], transports: new Map() }

/**
 * Parses a policy.json. What it does not know is refused: a policy that is read in part is no policy.
 *
 * @throws StaveError `invalid-document`, `too-large`
 * @see containers-policy.json(5)
 */
export function parsePolicy(bytes: Uint8Array, file: string): Policy {
  const fail = (where: string, why: string): never => {
    throw new StaveError('invalid-document', `cannot read the policy ${file}: ${where === '' ? '' : `${where}: `}${why}`, {
      hint: 'containers-policy.json(5) says what can stand there. Without a policy: --insecure-policy.',
    })
  }
  const reader: Reader = { fail }
  const document = object(reader, parseJson(bytes, limit.jsonBytes, `the policy ${file}`), '', ['default', 'transports'])
  if (!('default' in document)) fail('', 'it has no default')
  const transports = new Map<string, ReadonlyMap<string, readonly Requirement[]>>()
  for (const [transport, scopes] of Object.entries(
    document['transports'] === undefined ? {} : object(reader, document['transports'], 'transports'),
  )) {
    const where = `transports.${transport}`
    const entries = Object.entries(object(reader, scopes, where))
    transports.set(
      transport,
      new Map(entries.map(([scope, list]) => [scope, requirements(reader, list, `${where}.${JSON.stringify(scope)}`)])),
    )
  }
  return { file, default: requirements(reader, document['default'], 'default'), transports }
}

interface Reader {
  readonly fail: (where: string, why: string) => never
}

function object({ fail }: Reader, value: unknown, where: string, keys?: readonly string[]): Readonly<Record<string, unknown>> {
  if (!isRecord(value)) return fail(where, 'it is not an object')
  const unknown = keys === undefined ? undefined : Object.keys(value).find((key) => !keys.includes(key))
  if (unknown !== undefined) fail(where, `${JSON.stringify(unknown)} is not known`)
  return value
}

function requirements(reader: Reader, value: unknown, where: string): readonly Requirement[] {
  if (!Array.isArray(value)) return reader.fail(where, 'it is not a list of requirements')
  if (value.length === 0) return reader.fail(where, 'it has no requirement: write insecureAcceptAnything if there is to be none')
  return value.map((item, at) => requirement(reader, item, `${where}[${at}]`))
}

function requirement(reader: Reader, value: unknown, where: string): Requirement {
  const { type } = object(reader, value, where)
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
      object(reader, value, where, ['type'])
      return { type }
    case 'signedBy':
      return signedBy(reader, value, where)
    case 'sigstoreSigned':
      return sigstoreSigned(reader, value, where)
    default:
      return reader.fail(where, `there is no requirement of type ${JSON.stringify(type)}`)
  }
}

function signedBy(reader: Reader, value: unknown, where: string): Requirement {
  const given = object(reader, value, where, ['type', 'keyType', 'keyPath', 'keyPaths', 'keyData', 'signedIdentity'])
  if (given['keyType'] !== 'GPGKeys') reader.fail(where, `the keyType is GPGKeys, not ${JSON.stringify(given['keyType'])}`)
  const keys = materials(reader, given, ['key'], where)
  if (keys.length === 0) reader.fail(where, 'it names no key')
  return { type: 'signedBy', keys, identity: identityOf(reader, given, where) }
}

function sigstoreSigned(reader: Reader, value: unknown, where: string): Requirement {
  const given = object(reader, value, where, [
    'type', 'keyPath', 'keyPaths', 'keyData', 'keyDatas', 'fulcio', 'pki', 'rekorPublicKeyPath', 'rekorPublicKeyPaths', 'rekorPublicKeyData', 'rekorPublicKeyDatas', 'signedIdentity',
  ]) // prettier-ignore
  const keys = materials(reader, given, ['key'], where)
  const rekor = materials(reader, given, ['rekorPublicKey'], where)
  const fulcio = given['fulcio'] === undefined ? undefined : fulcioOf(reader, given['fulcio'], `${where}.fulcio`)
  const pki = given['pki'] === undefined ? undefined : pkiOf(reader, given['pki'], `${where}.pki`)
  if ([keys.length > 0, fulcio !== undefined, pki !== undefined].filter(Boolean).length !== 1)
    reader.fail(where, 'it names keys, or fulcio, or pki: exactly one of them')
  if (fulcio !== undefined && rekor.length === 0) reader.fail(where, 'fulcio needs the key of a transparency log: rekorPublicKeyPath')
  return {
    type: 'sigstoreSigned',
    keys,
    ...(fulcio !== undefined && { fulcio }),
    ...(pki !== undefined && { pki }),
    rekor,
    identity: identityOf(reader, given, where),
  }
}

/** `NAMEPath`, `NAMEPaths`, `NAMEData` or `NAMEDatas`: one of them at most. */
function materials(reader: Reader, given: Readonly<Record<string, unknown>>, names: readonly string[], where: string): readonly Material[] {
  const forms = names.flatMap((name) => ['Path', 'Paths', 'Data', 'Datas'].map((form) => `${name}${form}`))
  const present = forms.filter((form) => given[form] !== undefined)
  if (present.length > 1) reader.fail(where, `${present.join(' and ')} exclude each other`)
  const [form] = present
  if (form === undefined) return []
  const list = form.endsWith('s') ? given[form] : [given[form]]
  if (!Array.isArray(list) || list.length === 0 || !list.every((item) => typeof item === 'string' && item !== ''))
    return reader.fail(where, `${form} is not text`)
  return (list as string[]).map((text) => (form.includes('Path') ? { path: text } : { data: Buffer.from(text, 'base64') }))
}

function fulcioOf(reader: Reader, value: unknown, where: string): Fulcio {
  const given = object(reader, value, where, ['caPath', 'caData', 'oidcIssuer', 'subjectEmail'])
  const [ca] = materials(reader, given, ['ca'], where)
  const { oidcIssuer, subjectEmail } = given
  if (ca === undefined) return reader.fail(where, 'it names no authority: caPath or caData')
  if (typeof oidcIssuer !== 'string' || typeof subjectEmail !== 'string') return reader.fail(where, 'it needs oidcIssuer and subjectEmail')
  return { ca, oidcIssuer, subjectEmail }
}

function pkiOf(reader: Reader, value: unknown, where: string): Pki {
  const given = object(reader, value, where, [
    'caRootsPath', 'caRootsData', 'caIntermediatesPath', 'caIntermediatesData', 'subjectEmail', 'subjectHostname',
  ]) // prettier-ignore
  const [roots] = materials(reader, given, ['caRoots'], where)
  const [intermediates] = materials(reader, given, ['caIntermediates'], where)
  const { subjectEmail, subjectHostname } = given
  if (roots === undefined) return reader.fail(where, 'it names no authority: caRootsPath or caRootsData')
  if (typeof subjectEmail !== 'string' && typeof subjectHostname !== 'string')
    return reader.fail(where, 'it needs subjectEmail or subjectHostname')
  return {
    roots,
    ...(intermediates !== undefined && { intermediates }),
    ...(typeof subjectEmail === 'string' ? { subjectEmail } : {}),
    ...(typeof subjectHostname === 'string' ? { subjectHostname } : {}),
  }
}

function identityOf(reader: Reader, given: Readonly<Record<string, unknown>>, where: string): SignedIdentity {
  const { signedIdentity } = given
  return signedIdentity === undefined
    ? { type: 'matchRepoDigestOrExact' }
    : readIdentity(signedIdentity, (why) => reader.fail(`${where}.signedIdentity`, why))
}
