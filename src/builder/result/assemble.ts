import type { Context } from '#context.ts'
import type { Addition, ImageEdit } from '#image/edit.ts'
import type { Image } from '#image/image.ts'
import type { ExecutionConfig, ImageConfig } from '#oci/config.ts'
import type { Platform } from '#oci/descriptor.ts'
import type { Plan } from '../plan/plan.ts'
import type { Session } from '../session.ts'
import type { Solution } from '../solve/solve.ts'
import type { BuildOptions } from '../options.ts'
import { StaveError } from '#error.ts'
import { edit } from '#image/edit.ts'
import { compressionOf } from '#oci/media-type.ts'
import { formatPlatform } from '#oci/platform.ts'
import { annotationsOf } from './annotations.ts'
import { rootOf } from '../solve/state.ts'

/** Who made a line of the history. */
const comment = 'stave.dockerfile.v0'

const configFields: readonly (keyof ExecutionConfig)[] = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'ArgsEscaped',
  'Healthcheck',
  'Shell',
  'OnBuild',
  'StopTimeout',
]

/** The image of a solved plan: the base, with the layers and the config of the target stage. */
export async function assemble(
  cx: Context,
  session: Session,
  plan: Plan,
  solution: Solution,
  extra: Readonly<Record<string, unknown>> = {},
): Promise<Image> {
  const { options, store } = session
  const { stage } = plan
  const base = rootOf(await solution.state(stage.top))?.image
  const baseConfig = await base?.config(cx)
  if (options.forceCompression === true && base !== undefined && options.squash !== 'all')
    checkCompression(base, session.output.compression)
  const { without = {} } = options
  const epoch = session.output.epoch

  // Lines that made no layer have the time of what came before: an unchanged build is the same image again.
  let created = epoch === undefined ? baseConfig?.created : isoTime(epoch * 1000)
  const additions: Addition[] = []
  for (const line of stage.history) {
    const layer = line.step === undefined ? undefined : await (await solution.state(line.step)).layer
    if (layer !== undefined && epoch === undefined) created = isoTime(layer.createdAt.getTime())
    const history = {
      ...(created !== undefined && { created }),
      created_by: line.createdBy,
      ...(line.author !== undefined && { author: line.author }),
      comment,
    }
    additions.push({
      history,
      ...(layer === undefined
        ? {}
        : {
            layer: {
              descriptor: layer.descriptor,
              diffId: layer.diffId,
              source: store.file?.(layer.descriptor) === undefined ? (session.remote?.source(layer.descriptor.digest) ?? store) : store,
            },
          }),
    })
  }
  const add = options.squash === undefined ? additions : await squash(cx, session, options.squash, plan, solution, additions)
  const config = {
    ...Object.fromEntries(configFields.map((field) => [field, stage.config[field]])),
    ...(without.env === undefined
      ? {}
      : { Env: stage.config.Env?.filter((entry) => !without.env?.includes(entry.split('=', 1)[0] as string)) }),
  }
  const annotations = annotationsOf(options.annotations ?? [], 'manifest', formatPlatform(stage.platform))
  const platform = platformOf(options, plan.target, baseConfig)
  return edit(cx, base, {
    add,
    ...(options.squash === 'all' ? { replaceLayers: true } : {}),
    config,
    created: created ?? isoTime(Date.now()),
    platform,
    freshManifest: true,
    extra: { ...extra, ...(without.history === true ? { history: undefined } : {}) },
    format: options.format ?? 'oci',
    ...(stage.author !== undefined && { author: stage.author }),
    ...labelsOf(options),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  })
}

/** An image is labelled as was asked, whatever its last stage was pinned to; where nothing was, as its base image. @see BuildKit, dockerfile2llb */
function platformOf({ platforms = [] }: BuildOptions, target: Platform, base: ImageConfig | undefined): Platform {
  if (base === undefined || (platforms.length === 0 && base.architecture !== '')) return base ?? target
  const isSame = base.os === target.os && base.architecture === target.architecture
  const variant = target.variant ?? (isSame ? base.variant : undefined)
  const version = target['os.version'] ?? (isSame ? base['os.version'] : undefined)
  const { variant: _variant, 'os.version': _version, ...rest } = target
  return { ...rest, ...(variant !== undefined && { variant }), ...(version !== undefined && { 'os.version': version }) }
}

function labelsOf({ labels = {}, without }: BuildOptions): Pick<ImageEdit, 'labels'> {
  const all = { ...labels, ...Object.fromEntries((without?.labels ?? []).map((name) => [name, undefined])) }
  return Object.keys(all).length === 0 ? {} : { labels: all }
}

/** @throws StaveError `unsupported`: layers of the base are taken as they are */
function checkCompression(base: Image, wanted: 'gzip' | 'zstd' | 'none'): void {
  const other = base.manifest.layers.find(({ mediaType }) => compressionOf(mediaType) !== wanted)
  if (other === undefined) return
  throw new StaveError(
    'unsupported',
    `cannot compress all layers with ${wanted}: the layer ${other.digest} of the base is ${other.mediaType}`,
    {
      hint: 'Without force-compression, what the build adds is compressed so; --squash=all makes one new layer of everything.',
    },
  )
}

/** One layer instead of several, with a line of its own in the history. */
async function squash(
  cx: Context,
  session: Session,
  what: 'new' | 'all',
  plan: Plan,
  solution: Solution,
  additions: readonly Addition[],
): Promise<readonly Addition[]> {
  if (what === 'new' && additions.filter(({ layer }) => layer !== undefined).length < 2) return additions
  const { squashAll, squashNew } = await import('./squash.ts')
  const state = await solution.state(plan.stage.top)
  const layer = what === 'all' ? await squashAll(cx, session, state) : await squashNew(cx, session, state)
  const lines = additions.map(({ history }) => (history === undefined ? {} : { history }))
  if (layer === undefined) return lines
  const epoch = session.output.epoch
  const created = isoTime(epoch === undefined ? layer.createdAt.getTime() : epoch * 1000)
  const history = { created, created_by: 'squash', comment }
  return [...lines, { history, layer: { descriptor: layer.descriptor, diffId: layer.diffId, source: session.store } }]
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
