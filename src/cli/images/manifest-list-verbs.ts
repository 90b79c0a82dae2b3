import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { hasCode } from '#error.ts'
import { readManifest } from '#image/image.ts'
import { readAll } from '#image/read.ts'
import * as limit from '#limit.ts'
import { parseReference } from '#oci/reference.ts'
import type { Invocation, Values } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { parseLocation, parseRegistryFirst } from '#places/location.ts'
import { resolveOrLeave, type Places } from '#places/places.ts'
import { createPlaces, type RegistryChoices } from '../places.ts'
import { openSession, type Session } from '../session.ts'
import type { Settings } from '../settings.ts'
import { createList, entryOf, imageEntries, openList, patchOf, published, pushList, save, type EntryChange } from './manifest-list.ts'
import type { listAddFlags, listAnnotateFlags, listCreateFlags, listInspectFlags, listPushFlags } from './manifest-list-commands.ts'

export async function create({ cx, flags, args, settings, report }: Invocation<typeof listCreateFlags>): Promise<void> {
  const [name = '', ...images] = args
  await within(settings, flags, async ({ store }, places) => {
    const add = await Promise.all(images.map((image) => imageEntries(cx, store, places, image, flags.all === true)))
    const list = await createList(cx, store, name, flags.amend === true)
    const saved = await save(cx, store, list, { add, annotations: keyValues(flags.annotation, '--annotation') })
    report.print(saved.descriptor.digest)
  })
}

export async function add({ cx, flags, args, settings, report }: Invocation<typeof listAddFlags>): Promise<void> {
  const [name = '', ...images] = args
  await within(settings, flags, async ({ store }, places) => {
    const list = await openList(cx, store, name)
    const added = await Promise.all(images.map((image) => imageEntries(cx, store, places, image, flags.all === true)))
    const fresh = new Set(added.flatMap(({ descriptors }) => descriptors).map(({ digest }) => digest))
    const change = { add: added, patch: patchOf(({ digest }) => fresh.has(digest), changeOf(flags)) }
    report.print((await save(cx, store, list, change)).descriptor.digest)
  })
}

export async function annotate({ cx, flags, args, settings, report }: Invocation<typeof listAnnotateFlags>): Promise<void> {
  const [name = '', image = ''] = args
  await within(settings, flags, async ({ store }, places) => {
    const list = await openList(cx, store, name)
    const digest = await entryOf(cx, store, places, list, image)
    const change = { patch: patchOf((entry) => entry.digest === digest, changeOf(flags)) }
    report.print((await save(cx, store, list, change)).descriptor.digest)
  })
}

export async function remove({ cx, flags, args, settings, report }: Invocation<typeof listAnnotateFlags>): Promise<void> {
  const [name = '', image = ''] = args
  await within(settings, flags, async ({ store }, places) => {
    const list = await openList(cx, store, name)
    const digest = await entryOf(cx, store, places, list, image)
    report.print((await save(cx, store, list, { keep: (entry) => entry.digest !== digest })).descriptor.digest)
  })
}

/** A list of the store as it will be pushed; what the store does not have is asked of its registry. */
export async function inspect({ cx, flags, args, settings, report }: Invocation<typeof listInspectFlags>): Promise<void> {
  const [text = ''] = args
  await within(settings, { ...flags, unverified: true }, async ({ store }, places) => {
    const raw = await listRaw()
    report.json(JSON.parse(Buffer.from(raw).toString('utf8')))

    async function listRaw(): Promise<Uint8Array> {
      const location = parseLocation(text)
      if (location.transport === 'store') {
        try {
          const made = published(await openList(cx, store, text), new Map(), undefined)
          return await readAll(cx, made.source, made.descriptor, limit.manifestBytes)
        } catch (error) {
          if (!hasCode(error, 'not-found', 'usage')) throw error
        }
      }
      const { source, name } = await places.source(cx, location.transport === 'store' ? `docker://${text}` : text)
      return (await readManifest(cx, source, await resolveOrLeave(cx, source, name))).raw
    }
  })
}

export async function push({ cx, flags, args, settings, report }: Invocation<typeof listPushFlags>): Promise<void> {
  const [name = '', to] = args
  if (flags.quiet) report.mode('quiet')
  await within(settings, flags, async ({ store }, places) => {
    const list = await openList(cx, store, name)
    const target = to === undefined ? ({ transport: 'docker', name: list.name } as const) : parseRegistryFirst(to)
    const { digest } = await pushList(cx, store, places, list, target)
    if (flags.digestfile !== undefined) writeFileSync(resolve(settings.cwd, flags.digestfile), `${digest}\n`)
    if (flags.purge) store.names.delete(list.name)
    await report.settle()
    report.print(digest)
  })
}

export async function rm({ cx, args, settings }: Invocation): Promise<void> {
  await using session = await openSession(settings)
  const lists = await Promise.all(args.map((name) => openList(cx, session.store, name)))
  for (const { name } of lists) session.store.names.delete(name)
}

export async function exists({ cx, args, settings }: Invocation): Promise<number> {
  await using session = await openSession(settings)
  parseReference(args[0]!)
  try {
    await openList(cx, session.store, args[0]!)
    return 0
  } catch (error) {
    if (!hasCode(error, 'not-found', 'usage')) throw error
    return 1
  }
}

function changeOf(flags: Values<typeof listAnnotateFlags>): EntryChange {
  return {
    platform: {
      ...(flags.os !== undefined && { os: flags.os }),
      ...(flags.arch !== undefined && { architecture: flags.arch }),
      ...(flags.variant !== undefined && { variant: flags.variant }),
      ...(flags['os-version'] !== undefined && { 'os.version': flags['os-version'] }),
      ...(flags['os-features'].length > 0 && { 'os.features': flags['os-features'] }),
    },
    annotations: flags.annotation,
  }
}

async function within(
  settings: Settings,
  flags: RegistryChoices & { readonly insecure?: boolean | undefined },
  work: (session: Session, places: Places) => Promise<void>,
): Promise<void> {
  await using session = await openSession(settings)
  const choices = { ...flags, 'tls-verify': flags['tls-verify'] ?? (flags.insecure === true ? false : undefined) }
  await using places = createPlaces(settings, choices, async () => session)
  await work(session, places)
}
