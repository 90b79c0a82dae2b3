import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import { digestOf } from '#oci/digest.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { claimTypes, writeClaim } from '#trust/payload.ts'
import type { Invocation } from '../command.ts'
import { version } from '../version.ts'
import type { standaloneSignFlags } from './commands.ts'
import { gpg } from './gpg.ts'
import { readNamed } from './passphrase.ts'

/** @see containers-signature(5); skopeo-standalone-sign(1) */
export async function run({ flags, args, settings }: Invocation<typeof standaloneSignFlags>): Promise<void> {
  const [manifest = '', reference = '', key = ''] = args
  const { output } = flags
  if (output === undefined) throw new StaveError('usage', 'stave standalone-sign: --output is missing')
  const claim = { digest: digestOf(await readNamed(manifest, settings)), reference: formatReference(parseReference(reference)) }
  const payload = writeClaim(claim, claimTypes.gpg, `stave ${version}`, Math.floor(Date.now() / 1000))
  const file = flags['passphrase-file']
  const unlock = file === undefined ? [] : ['--pinentry-mode', 'loopback', '--passphrase-file', resolve(settings.cwd, file)]
  const signature = await gpg([...unlock, '--local-user', key, '--sign', '--output', '-'], payload, settings)
  await withFileErrors(`write ${output}`, () => writeFile(resolve(settings.cwd, output), signature))
}
