import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { refusal } from '#trust/check.ts'
import type { SignedIdentity } from '#trust/identity.ts'
import { defaultTrustPaths, trustMeans } from '#trust/host.ts'
import type { Material, Policy, Requirement } from '#trust/policy.ts'
import type { Invocation, Values } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { Settings } from '../settings.ts'
import type { verifyFlags } from './commands.ts'
import { registryName } from './passphrase.ts'

/** Verifies, and prints the digest that was: who uses the image afterwards uses that. Fails where nothing was. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof verifyFlags>): Promise<void> {
  const requirement = requirementOf(flags, settings)
  const policy: Policy = { file: 'the command line', default: [requirement], transports: new Map() }
  const reference = parseReference(registryName(args[0]!, 'verify'))
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const source = await places.registry(reference)
  const root = await source.resolve(cx, reference.digest ?? reference.tag ?? 'latest')
  const means = trustMeans(defaultTrustPaths(settings.env, settings), async () => undefined)
  const why = await refusal(cx, policy, means, { origin: { transport: 'docker', reference }, source, digest: root.digest })
  if (why !== undefined) {
    throw new StaveError('denied', `cannot trust ${formatReference(reference)}: ${why.replace(/^.*?sigstoreSigned: /, '')}`, {
      hint: 'Is it the right key, and was this very digest signed?',
    })
  }
  if (flags.json) report.json({ reference: formatReference(reference), digest: root.digest, verified: true })
  else report.print(root.digest)
}

function requirementOf(flags: Values<typeof verifyFlags>, settings: Settings): Requirement {
  const file = (path: string): Material => ({ path: resolve(settings.cwd, path) })
  const common = {
    type: 'sigstoreSigned',
    rekor: flags['rekor-key'].map(file),
    identity: identities[flags['signed-identity'] ?? 'repository']!,
  } as const
  const ca = flags['certificate-authority']
  if (flags.key.length > 0) {
    if (ca !== undefined) throw new StaveError('usage', '--key and --certificate-authority exclude each other')
    return { ...common, keys: flags.key.map(file) }
  }
  const [email, issuer] = [flags['certificate-email'], flags['certificate-oidc-issuer']]
  if (ca === undefined) {
    throw new StaveError('usage', 'stave verify: whose signature is asked for?', {
      hint: 'Give --key FILE, or --certificate-authority FILE with --certificate-email ADDRESS.',
    })
  }
  if (email === undefined)
    throw new StaveError('usage', '--certificate-authority needs --certificate-email: anybody can have a certificate')
  if (issuer === undefined) return { ...common, keys: [], pki: { roots: file(ca), subjectEmail: email } }
  if (flags['rekor-key'].length === 0) {
    throw new StaveError(
      'usage',
      '--certificate-oidc-issuer needs --rekor-key: such certificates are valid for minutes, and the log says when it was',
    )
  }
  return { ...common, keys: [], fulcio: { ca: file(ca), oidcIssuer: issuer, subjectEmail: email } }
}

const identities: Readonly<Record<string, SignedIdentity>> = {
  exact: { type: 'matchExact' },
  repository: { type: 'matchRepository' },
  digest: { type: 'anything' },
}
