import type { Context } from '#context.ts'
import type { Addition } from '#image/edit.ts'
import type { Image } from '#image/image.ts'
import type { ExecutionConfig } from '#oci/config.ts'
import type { Plan } from './plan.ts'
import type { Session } from './session.ts'
import type { Solution } from './solve.ts'
import type { Annotation } from './options.ts'
import { edit } from '#image/edit.ts'
import { formatPlatform } from '#oci/platform.ts'
import { rootOf } from './state.ts'

/** BuildKit's mark, by which tools know that layers and lines of the history belong together. */
const comment = 'buildkit.dockerfile.v0'

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
  const epoch = session.output.epoch

  // Lines that made no layer have the time of what came before: an unchanged build is the same image again.
  let created = epoch === undefined ? baseConfig?.created : isoTime(epoch * 1000)
  const additions: Addition[] = []
  for (const line of stage.history) {
    const layer = line.step === undefined ? undefined : await (await solution.state(line.step)).layer
    if (layer !== undefined && epoch === undefined) {
      created = isoTime(layer.createdAt.getTime())
    }
    const history = {
      ...(created === undefined ? {} : { created }),
      created_by: line.createdBy,
      ...(line.author === undefined ? {} : { author: line.author }),
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
  const config = Object.fromEntries(configFields.map((field) => [field, stage.config[field]]))
  const annotations = annotationsOf(options.annotations ?? [], 'manifest', formatPlatform(stage.platform))
  const platform = baseConfig ?? stage.platform
  return edit(cx, base, {
    add,
    ...(options.squash === 'all' ? { replaceLayers: true } : {}),
    config,
    created: created ?? isoTime(Date.now()),
    platform,
    freshManifest: true,
    extra,
    format: options.format ?? 'oci',
    ...(stage.author === undefined ? {} : { author: stage.author }),
    ...(options.labels === undefined || Object.keys(options.labels).length === 0 ? {} : { labels: options.labels }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  })
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
  if (what === 'new' && additions.filter(({ layer }) => layer !== undefined).length < 2) {
    return additions
  }
  const { squashAll, squashNew } = await import('./squash.ts')
  const state = await solution.state(plan.stage.top)
  const layer = what === 'all' ? await squashAll(cx, session, state) : await squashNew(cx, session, state)
  const lines = additions.map(({ history }) => (history === undefined ? {} : { history }))
  if (layer === undefined) {
    return lines
  }
  const epoch = session.output.epoch
  const created = isoTime(epoch === undefined ? layer.createdAt.getTime() : epoch * 1000)
  const history = { created, created_by: 'squash', comment }
  return [...lines, { history, layer: { descriptor: layer.descriptor, diffId: layer.diffId, source: session.store } }]
}

/** Those of one level that count for a platform. Without a platform: those for all. */
export function annotationsOf(annotations: readonly Annotation[], level: Annotation['level'], platform?: string): Record<string, string> {
  const chosen = annotations.filter(
    (annotation) => annotation.level === level && (annotation.platform === undefined || annotation.platform === platform),
  )
  return Object.fromEntries(chosen.map(({ key, value }) => [key, value]))
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
