import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { chosenCompression } from './compression.ts'
import { parseRegistryFirst } from '#places/location.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { pushFlags } from './commands.ts'
import { transfer } from '#image/transfer.ts'

/** Sends an image to a registry, or with a transport in TARGET to any place. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof pushFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  const [text = '', to] = args
  await using session = await openSession(settings)
  await using places = createPlaces(settings, flags, async () => session)
  const { store } = session
  const compression = chosenCompression(settings, { format: flags['compression-format'], level: flags['compression-level'] })
  const names = flags['all-tags'] ? everyName(text) : [text]
  for (const name of names) {
    const location = to === undefined ? ({ transport: 'docker', name } as const) : parseRegistryFirst(to)
    // A bare second name is a reference, as in docker push and podman push; docker-daemon:NAME is the store.
    const target = await places.target(cx, location)
    const root = await store.resolve(cx, name)
    const pushed = await transfer(cx, {
      title: `pushing ${name}${to === undefined ? '' : ` to ${to}`}`,
      from: store,
      root,
      to: target.target,
      name: target.name,
      format: flags.format ?? (compression?.compression === 'zstd' ? 'oci' : undefined),
      ...(compression && { compression }),
      platforms: flags.platform.length === 0 ? 'present' : flags.platform.flatMap((text) => text.split(',')),
      sparse: flags.sparse ?? false,
    })
    if (flags.digestfile !== undefined) writeFileSync(resolve(settings.cwd, flags.digestfile), `${pushed.digest}\n`)
    await report.settle()
    if (!flags.quiet) report.print(pushed.digest)
  }

  function everyName(repository: string): string[] {
    const wanted = parseReference(repository)
    const found = store.names.list().filter(({ name }) => {
      if (/^sha(256|512):/.test(name)) return false
      const reference = parseReference(name)
      return reference.registry === wanted.registry && reference.repository === wanted.repository
    })
    if (found.length === 0) throw new StaveError('not-found', `cannot push ${formatReference(wanted)}: no tag of it is in the store`)
    return found.map(({ name }) => name)
  }
}
