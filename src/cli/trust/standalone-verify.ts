import { StaveError } from '#error.ts'
import { digestOf } from '#oci/digest.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { verifySigned } from '#trust/gpg.ts'
import { claimTypes, readClaim } from '#trust/payload.ts'
import type { Invocation } from '../command.ts'
import type { standaloneVerifyFlags } from './commands.ts'
import { gpg } from './gpg.ts'
import { readNamed } from './passphrase.ts'

/** @see containers-signature(5); skopeo-standalone-verify(1) */
export async function run({ flags, args, settings, report }: Invocation<typeof standaloneVerifyFlags>): Promise<void> {
  const [manifest = '', reference = '', keys = '', signature = ''] = args
  const ringFile = flags['public-key-file']
  const wanted = keys === 'any' ? [] : keys.split(',').map((key) => key.toUpperCase())
  const ring = ringFile === undefined ? await gpg(['--export', ...wanted], undefined, settings) : await readNamed(ringFile, settings)
  const refuse = (why: string): never => {
    throw new StaveError('denied', `cannot trust ${signature}: ${why}`)
  }
  const signed = (await verifySigned(await readNamed(signature, settings), [ring])) ?? refuse('no key of the ring has made it')
  if (wanted.length > 0 && !wanted.includes(signed.fingerprint)) refuse(`the key ${signed.fingerprint} has made it`)
  const claim = readClaim(signed.content, claimTypes.gpg) ?? refuse('it does not sign an image')
  const digest = digestOf(await readNamed(manifest, settings))
  if (claim.digest !== digest) refuse(`it is of ${claim.digest}, and ${manifest} is ${digest}`)
  const name = formatReference(parseReference(reference))
  if (formatReference(parseReference(claim.reference)) !== name) refuse(`it is for ${claim.reference}, and not for ${name}`)
  report.print(`Signature verified using fingerprint ${signed.fingerprint}, digest ${digest}`)
}
