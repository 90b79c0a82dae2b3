import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import type { Target } from '#image/content.ts'
import { readInventories, writeInventory } from '#mirror/inventory.ts'
import { checkBackup, type Restored, restore, type RestoreTarget } from '#mirror/restore.ts'
import { parseReference, type Reference } from '#oci/reference.ts'
import type { RegistryClient } from '#registry/client/registry.ts'
import { createFiles, openFiles } from '#places/files.ts'
import { parseLocation } from '#places/location.ts'
import type { Invocation } from '../command.ts'
import { openClient, spoolDirectory } from '../places.ts'
import type { artifactRestoreFlags } from './commands.ts'

/** Brings the images of a backup into a place. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof artifactRestoreFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  const [file, target, ...more] = flags.input === undefined ? args : [flags.input, ...args]
  if (file === undefined || more.length > 0) throw new StaveError('usage', 'stave artifact restore takes FILE and TARGET')
  const around = { cwd: settings.cwd, temporary: () => spoolDirectory(settings) }
  const { source } = await openFiles(cx, { transport: 'oci-archive', path: file, name: undefined }, around)
  await using archive = source
  const print = async (images: readonly Restored[]) => {
    await report.settle()
    if (flags.json) report.json(images)
    else for (const { name, digest } of images) report.print(`${name}@${digest}`)
  }
  if (flags['dry-run']) return print(await checkBackup(cx, archive))
  if (target === undefined) {
    throw new StaveError('usage', 'stave artifact restore: TARGET is missing', {
      hint: 'Such as docker://registry.internal/mirror, or oci:DIR.',
    })
  }
  await using opened = new AsyncDisposableStack()
  const place = parseLocation(target)
  let to: RestoreTarget
  if (place.transport === 'docker')
    to = registryTarget(opened.use(await openClient(settings, flags)), place.name.replace(/\/+$/, ''), flags.repository ?? false)
  else if (place.transport === 'oci' && place.name === undefined) to = layoutTarget(opened.use((await createFiles(place, around)).target))
  else {
    throw new StaveError('usage', `cannot restore to ${target}: TARGET is docker://REGISTRY[/PATH] or oci:DIR`, {
      hint: 'stave load brings an archive into the store.',
    })
  }
  const { images, contents } = await restore(cx, archive, to, { referrers: flags.referrers ?? !flags['exclude-referrers'] })
  if (flags.inventory !== undefined) {
    const path = resolve(settings.cwd, flags.inventory)
    await writeInventory(path, ...(existsSync(path) ? [(await readInventories([path])).contents] : []), contents)
  }
  await print(images)
}

/** A full reference; undefined for a name that is a tag alone, as oras writes them. */
function referenceOf(name: string): Reference | undefined {
  return /[/:]/.test(name) ? parseReference(name) : undefined
}

function registryTarget(client: RegistryClient, base: string, isRepository: boolean): RestoreTarget {
  const below = (repository: string) => parseReference(`${base}/${repository}`)
  return {
    place(name) {
      const reference = referenceOf(name)
      const whole = reference === undefined || isRepository ? parseReference(base) : below(reference.repository)
      const tag = reference === undefined ? name : (reference.tag ?? reference.digest ?? 'latest')
      return { target: client.open(whole), newName: tag, repository: reference?.repository ?? whole.repository }
    },
    source: (repository) => client.open(isRepository ? parseReference(base) : below(repository)),
  }
}

/** All blobs of a layout lie in one place. */
function layoutTarget(layout: Target): RestoreTarget {
  return {
    place: (name) => ({ target: layout, newName: name, repository: referenceOf(name)?.repository ?? '' }),
    source: () => undefined,
  }
}
