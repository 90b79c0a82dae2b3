import { StaveError, hasCode } from '#error.ts'
import { findContainer } from '#container/container.ts'
import { inspectContainer, inspectVolume } from '#container/inspect.ts'
import { findVolume } from '#container/volume.ts'
import type { Context } from '#context.ts'
import { openImage, readManifest } from '#image/image.ts'
import type { Platform } from '#oci/descriptor.ts'
import { isIndex } from '#oci/media-type.ts'
import { hostPlatform } from '#oci/platform.ts'
import type { Invocation, Values } from '../command.ts'
import { inspectImage } from './json.ts'
import { wantedPlatform } from './fetch.ts'
import { parseLocation } from '#places/location.ts'
import { resolveOrLeave } from '#places/places.ts'
import { createPlaces } from '../places.ts'
import type { Report } from '../output/report.ts'
import { openSession } from '../session.ts'
import type { Settings } from '../settings.ts'
import type { inspectFlags } from './commands.ts'
import { printDocuments } from '../output/table.ts'
import { compileTemplate } from '../output/template.ts'

type InspectFlags = Values<typeof inspectFlags>

/** Shows what names stand for: Docker's JSON for the store, skopeo's for a place with a transport. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof inspectFlags>): Promise<number> {
  const places = args.map((text) => (flags.remote && parseLocation(text).transport === 'store' ? `docker://${text}` : text))
  const remote = places.filter(hasTransport)
  if (remote.length > 0) {
    if (args.length > 1) throw new StaveError('usage', 'stave inspect: a place with a transport is inspected alone')
    await inspectPlace(cx, flags, places[0]!, settings, report)
    return 0
  }
  await using session = await openSession(settings)
  const { store } = session
  const found: object[] = []
  let status = 0
  for (const text of args) {
    try {
      found.push(await inspectName(text))
    } catch (error) {
      report.error(error)
      status = 1
    }
  }
  printDocuments(report, found, flags.format)
  return status

  async function inspectName(text: string): Promise<object> {
    const type = flags.type ?? 'all'
    const attempts: [string, () => object | Promise<object>][] = [
      ['container', () => inspectContainer(store, findContainer(store, text))],
      ['image', async () => inspectImage(cx, store, text, wantedPlatform(flags.platform, settings))],
      ['volume', () => inspectVolume(store, findVolume(store, text))],
    ]
    for (const [kind, attempt] of attempts) {
      if (type !== 'all' && type !== kind) continue
      try {
        return await attempt()
      } catch (error) {
        if (type !== 'all' || !hasCode(error, 'not-found', 'invalid-reference')) throw error
      }
    }
    throw new StaveError('not-found', `cannot find ${text}: no container, image or volume has this name`, {
      hint: `For a registry, write docker://${text}.`,
    })
  }
}

/** Written as skopeo writes it, also `containers-storage:NAME`: a bare name is docker's. */
function hasTransport(text: string): boolean {
  const location = parseLocation(text)
  return location.transport !== 'store' || location.name !== text
}

/** What `skopeo inspect` prints. */
async function inspectPlace(cx: Context, flags: InspectFlags, text: string, settings: Settings, report: Report): Promise<void> {
  const location = parseLocation(text)
  await using places = createPlaces(settings, { ...flags, retry: flags['retry-times'], unverified: true }, () => openSession(settings))
  const { source, name } = await places.source(cx, location)
  const root = await resolveOrLeave(cx, source, name)
  if (flags.raw && !flags.config) {
    const { raw } = await readManifest(cx, source, root)
    return report.write(raw)
  }
  // An image that stands alone is shown, whatever it is for, unless a platform was asked for.
  const isAsked = [flags.platform, flags['override-os'], flags['override-arch'], flags['override-variant']].some(
    (flag) => flag !== undefined,
  )
  const image = await openImage(cx, source, root, isAsked || isIndex(root.mediaType) ? choosePlatform(flags, settings) : undefined)
  const config = await image.config(cx)
  const show = (value: object) =>
    flags.format !== undefined && flags.format !== 'json' ? report.print(compileTemplate(flags.format)(value)) : report.json(value)
  if (flags.config) return flags.raw ? report.write(await image.rawConfig(cx)) : show(config)
  const tags =
    location.transport === 'docker' && !flags['no-tags'] && 'listTags' in source
      ? await (source as { listTags(cx: Context): Promise<string[]> }).listTags(cx)
      : []
  show({
    ...(location.transport === 'docker' && { Name: source.title }),
    ...(/^sha(256|512):/.test(name) || location.transport !== 'docker' ? {} : { Tag: name }),
    Digest: root.digest,
    RepoTags: tags,
    Created: config.created,
    DockerVersion: '',
    Labels: config.config?.Labels ?? null,
    Architecture: config.architecture,
    ...(config.variant !== undefined && { Variant: config.variant }),
    Os: config.os,
    Layers: image.manifest.layers.map(({ digest }) => digest),
    LayersData: image.manifest.layers.map((layer) => ({
      MIMEType: layer.mediaType,
      Digest: layer.digest,
      Size: layer.size,
      Annotations: layer.annotations ?? null,
    })),
    Env: config.config?.Env ?? [],
  })
}

function choosePlatform(flags: InspectFlags, settings: Settings): Platform {
  if (flags.platform !== undefined) return wantedPlatform(flags.platform, settings)
  const host = hostPlatform(process.arch)
  return {
    os: flags['override-os'] ?? 'linux',
    architecture: flags['override-arch'] ?? host.architecture,
    ...(flags['override-variant'] !== undefined && { variant: flags['override-variant'] }),
  }
}
