import type { Source } from '#image/content.ts'
import { openFiles } from '#places/files.ts'
import { isIndex } from '#oci/media-type.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import { readManifest } from '#image/image.ts'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Invocation } from '../command.ts'
import { spoolDirectory } from '../places.ts'
import { openSession } from '../session.ts'
import type { loadFlags } from './commands.ts'
import { transfer } from '#image/transfer.ts'

/** Reads the images of an archive into the store. */
export async function run({ cx, flags, settings, report }: Invocation<typeof loadFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  if (flags.input === undefined && process.stdin.isTTY)
    throw new StaveError('usage', 'stave load: an archive is not read from a terminal', { hint: 'Use -i FILE, or redirect the input.' })
  await using session = await openSession(settings)
  await using archive = await open(flags.input ?? '-')
  const loaded: string[] = []
  for (const { descriptor, names } of (await archive.list?.(cx)) ?? []) {
    const title = `loading ${names[0] ?? descriptor.digest}`
    const references = names.flatMap(referenceOf)
    const root = await transfer(cx, {
      title,
      from: archive,
      root: descriptor,
      to: session.store,
      name: references[0] ?? descriptor.digest,
      ...(flags.platform !== undefined && { platforms: [flags.platform] }),
    })
    for (const name of references.slice(1)) await session.store.name(cx, root, name)
    const id = isIndex(root.mediaType) ? root.digest : await idOf(root)
    loaded.push(...(references.length > 0 ? references.map((name) => `Loaded image: ${name}`) : [`Loaded image ID: ${id}`]))
  }
  await report.settle()
  for (const line of loaded) report.print(line)

  async function open(path: string): Promise<Source> {
    const stream = path === '-' ? process.stdin : undefined
    const file = resolve(settings.cwd, path)
    if (stream === undefined && (await withFileErrors(`load ${file}`, () => stat(file))).isDirectory()) {
      throw new StaveError('invalid-document', `cannot load ${file}: it is a directory, not an archive`, {
        hint: `If it is an OCI layout: stave copy oci:${path} NAME.`,
      })
    }
    const temporary = () => spoolDirectory(settings)
    // Which of the two forms it has, the archive says itself.
    const location = { transport: 'docker-archive', path, name: undefined, stream } as const
    return (await openFiles(cx, location, { cwd: settings.cwd, temporary })).source
  }

  async function idOf(root: Parameters<typeof readManifest>[2]): Promise<string> {
    const document = await readManifest(cx, session.store, root)
    return document.kind === 'manifest' ? document.manifest.config.digest : root.digest
  }
}

/** A name in an archive may be a bare tag (`oci:DIR:latest`), which names nothing in the store. */
function referenceOf(name: string): string[] {
  if (!/[/:]/.test(name)) return []
  try {
    return [formatReference(parseReference(name))]
  } catch {
    return []
  }
}
