import { StaveError } from '#error.ts'
import { readManifest } from '#image/image.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { attach, signatureTag } from '#trust/cosign.ts'
import { privateKey, signPayload } from '#trust/key.ts'
import { claimTypes, writeClaim } from '#trust/payload.ts'
import type { Invocation } from '../command.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { version } from '../version.ts'
import type { signFlags } from './commands.ts'
import { passphraseOf, readNamed, registryName } from './passphrase.ts'

/** Signs the manifest that a name stands for now. Prints its digest, and the tag of the signatures. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof signFlags>): Promise<void> {
  if (flags.key === undefined)
    throw new StaveError('usage', 'stave sign: --key is missing', { hint: 'stave generate-sigstore-key makes a pair of keys.' })
  if (flags.quiet) report.mode('quiet')
  const key = await privateKey(
    (await readNamed(flags.key, settings)).toString(),
    await passphraseOf(flags['passphrase-file'], settings),
    flags.key,
  )
  const reference = parseReference(registryName(args[0]!, 'sign'))
  const identity =
    flags['sign-identity'] === undefined ? formatReference(reference) : formatReference(parseReference(flags['sign-identity']))
  await using places = createPlaces(settings, flags, () => openSession(settings))
  const registry = await places.registry(reference)
  const root = await registry.resolve(cx, reference.digest ?? reference.tag ?? 'latest')
  const document = flags.recursive ? await readManifest(cx, registry, root) : undefined
  const children = document?.kind === 'index' ? document.index.manifests : []
  for (const { digest } of [root, ...children]) {
    const payload = writeClaim({ digest, reference: identity }, claimTypes.sigstore, `stave ${version}`, Math.floor(Date.now() / 1000))
    await attach(cx, registry, digest, payload, signPayload(key, payload))
    await report.settle()
    if (!flags.quiet) report.note(`signed ${digest}: ${signatureTag(digest)}`)
  }
  report.print(root.digest)
}
