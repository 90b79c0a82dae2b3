import { changesOfConfig } from '#builder/import.ts'
import { mergeEnv } from '#container/spec.ts'
import type { Context } from '#context.ts'
import { csvFields } from '#text/csv.ts'
import { StaveError } from '#error.ts'
import { edit, type Addition, type ImageEdit } from '#image/edit.ts'
import type { Image } from '#image/image.ts'
import type { ExecutionConfig } from '#oci/config.ts'
import { normalizePlatform, parsePlatform } from '#oci/platform.ts'
import type { Invocation, Values } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import { givenLayers } from './append.ts'
import { changeImage } from './change.ts'
import type { mutateFlags } from './verb-commands.ts'

/** Makes an image with another config, other annotations or more layers from one, wherever that lies. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof mutateFlags>): Promise<void> {
  await using places = createPlaces(settings, flags, () => openSession(settings))
  await using layers = await givenLayers(cx, settings, flags.append)
  await changeImage(cx, places, report, {
    place: args[0]!,
    tag: flags.tag,
    platform: flags.platform,
    change: (inner, image) => mutate(inner, image, flags, layers.additions),
  })
}

type Flags = Values<typeof mutateFlags>

async function mutate(cx: Context, image: Image, flags: Flags, add: readonly Addition[]): Promise<Image> {
  const { config: before = {}, ...rest } = await image.config(cx)
  const platform = flags['set-platform'] === undefined ? normalizePlatform(rest) : parsePlatform(flags['set-platform'])
  const labels = { ...Object.fromEntries(flags.unsetlabel.map((name) => [name, undefined])), ...keyValues(flags.label, '--label') }
  return edit(cx, image, {
    add,
    config: { ...configOf(before, flags), ...changesOfConfig(flags.change, platform) },
    labels,
    annotations: {
      ...Object.fromEntries(flags.unsetannotation.map((name) => [name, undefined])),
      ...keyValues(flags.annotation, '--annotation'),
    },
    ...(flags['set-platform'] !== undefined && { platform }),
    ...(flags.created !== undefined && { created: timeOf(flags.created) }),
    ...(flags.author !== undefined && { author: flags.author }),
  })
}

function configOf(before: ExecutionConfig, flags: Flags): NonNullable<ImageEdit['config']> {
  const isKept = (entry: string) => !flags.unsetenv.includes(entry.split('=', 1)[0]!)
  const env = mergeEnv((before.Env ?? []).filter(isKept), flags.env)
  return {
    ...(flags.env.length + flags.unsetenv.length > 0 && { Env: env }),
    // As with the instruction: an entry point that is set takes away the arguments that were for another.
    ...(flags.entrypoint !== undefined && { Entrypoint: words(flags.entrypoint), Cmd: undefined }),
    ...(flags.cmd !== undefined && { Cmd: words(flags.cmd) }),
    ...(flags.user !== undefined && { User: flags.user }),
    ...(flags.workdir !== undefined && { WorkingDir: flags.workdir }),
    ...(flags['exposed-ports'].length > 0 && { ExposedPorts: { ...before.ExposedPorts, ...ports(flags['exposed-ports']) } }),
  }
}

/** `["a", "b"]`, or `a,b`; nothing removes it. */
function words(text: string): readonly string[] | undefined {
  if (text === '') return undefined
  if (!text.startsWith('[')) return csvFields(text)
  try {
    const list: unknown = JSON.parse(text)
    if (Array.isArray(list) && list.every((word) => typeof word === 'string')) return list
  } catch {
    // Said below.
  }
  throw new StaveError('usage', `${text} is no list of words: write ["sh", "-c", "date"], or sh,-c,date`)
}

function ports(list: readonly string[]): Readonly<Record<string, object>> {
  const found = list.flatMap((text) => text.split(','))
  const bad = found.find((port) => !/^\d{1,5}(-\d{1,5})?(\/(tcp|udp|sctp))?$/.test(port))
  if (bad !== undefined) throw new StaveError('usage', `--exposed-ports takes PORT[/tcp|/udp|/sctp], not ${JSON.stringify(bad)}`)
  return Object.fromEntries(found.map((port) => [port.includes('/') ? port : `${port}/tcp`, {}]))
}

function timeOf(text: string): string {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text)
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15)
    throw new StaveError('usage', `--created takes a time such as 2026-01-31T12:00:00Z, or seconds since 1970`)
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}
