import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import { digestOf } from '#oci/digest.ts'
import { decodeManifestOrIndex } from '#oci/manifest.ts'
import type { Invocation } from '../command.ts'

/** Prints what a registry would call the manifest in a file. */
export async function run({ args, settings, report }: Invocation): Promise<void> {
  const [file = ''] = args
  const raw = await withFileErrors(`read ${file}`, () => readFile(resolve(settings.cwd, file)))
  try {
    decodeManifestOrIndex(raw)
  } catch (cause) {
    throw new StaveError('invalid-document', `cannot use ${file}: it is no manifest of an image`, { cause })
  }
  report.print(digestOf(raw))
}
