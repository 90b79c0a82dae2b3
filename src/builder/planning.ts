import type { Context } from '#context.ts'
import type { Dockerfile } from '#dockerfile/instruction.ts'
import type { ImageConfig } from '#oci/config.ts'
import type { Platform } from '#oci/descriptor.ts'
import type { BaseImage } from './input/images.ts'
import type { BuildOptions } from './options.ts'
import type { ImageNeed, PlanOptions } from './plan/planner.ts'
import type { Session } from './session.ts'
import { randomUUID } from 'node:crypto'
import { StaveError } from '#error.ts'
import { formatPlatform } from '#oci/platform.ts'
import { didYouMean } from '#text/suggest.ts'
import { plan, type Plan } from './plan/plan.ts'

/** What the plans of a build are made from. */
export interface Planning {
  readonly options: BuildOptions
  readonly dockerfile: Dockerfile
  readonly contexts: Session['contexts']
  readonly images: Session['images']
  /** Base images that were resolved, by the key of their need: those that are resolved on the way are added. */
  readonly bases: Map<string, BaseImage>
  /** Digests of what `--volume` binds, in its order. */
  readonly binds: readonly (string | undefined)[]
  readonly targets: readonly Platform[]
  readonly host: Platform
}

/**
 * Plans for each platform. What a plan lacks is resolved, all at once, and it is planned again.
 *
 * @param time of the result, in place of SOURCE_DATE_EPOCH
 */
export async function planAll(cx: Context, planning: Planning, time?: number | ''): Promise<readonly Plan[]> {
  const { options, dockerfile, contexts, images, bases, targets } = planning
  const configs = new Map<string, ImageConfig>()
  for (;;) {
    const plans: Plan[] = []
    const needs = new Map<string, ImageNeed>()
    for (const platform of targets) {
      const planned = plan(dockerfile, planOptions(planning, platform, time), configs)
      if ('plan' in planned) plans.push(planned.plan)
      else for (const need of planned.needs) needs.set(need.key, need)
    }
    if (needs.size === 0) return plans
    const references = [...needs.values()].map(({ reference }) => reference)
    options.places.expect?.(references, contexts.trust.isLocal)
    // What comes after is loaded while registries answer.
    void import('./solve/solve.ts')
    await Promise.all(
      [...needs.values()].map(async (need) => {
        const base = await images.resolve(cx, need).catch((error: unknown) => {
          throw withMeant(error, need, dockerfile)
        })
        bases.set(need.key, base)
        const config = await base.image.config(cx)
        configs.set(need.key, config)
        warnOfPlatform(cx, need, config)
      }),
    )
  }
}

/** What was probably meant by the name of an image that cannot be had: whoever misspells a stage names an image. */
function withMeant(error: unknown, { reference }: ImageNeed, { stages }: Dockerfile): unknown {
  if (!(error instanceof StaveError) || error.code === 'cancelled') return error
  const meant = didYouMean(
    reference,
    stages.flatMap(({ name }) => name ?? []),
    true,
  )
  if (meant !== undefined) return error.with({ hint: `${meant} There is a stage of this name.` })
  // So podman calls what was built here; hardly anybody has a registry of this name, without a port.
  const isLocal = reference.startsWith('localhost/') && (error.code === 'network' || error.code === 'tls')
  return isLocal ? error.with({ hint: 'Nor is it in the store: stave images lists what was built here.' }) : error
}

/** @see BuildKit, rule InvalidBaseImagePlatform */
function warnOfPlatform(cx: Context, { reference, platform, span }: ImageNeed, config: ImageConfig): void {
  if (config.os === platform.os && config.architecture === platform.architecture) return
  cx.report({
    type: 'warning',
    message: `InvalidBaseImagePlatform: ${reference} is for ${formatPlatform(config)}, and ${formatPlatform(platform)} was expected`,
    hint: 'What runs of it, runs only there: name the image for that platform, or build for another one.',
    ...(span !== undefined && { file: span.file, line: span.line }),
  })
}

export function planOptions(
  { options, contexts, targets, host, binds }: Planning,
  targetPlatform: Platform,
  time: number | '' | undefined,
): PlanOptions {
  const epoch = time ?? options.buildArgs?.['SOURCE_DATE_EPOCH'] ?? options.epoch
  return {
    ...(options.target !== undefined && { target: options.target }),
    buildArgs: new Map(
      Object.entries({ ...options.proxy, ...options.buildArgs, ...(epoch !== undefined && { SOURCE_DATE_EPOCH: `${epoch}` }) }),
    ),
    targetPlatform,
    buildPlatform: host,
    contexts: contexts.named,
    isLocal: contexts.trust.isLocal,
    noCache: options.noCache === true ? true : (options.noCacheFilter ?? false),
    network: options.network ?? 'host',
    // As in BuildKit: where a name leads today is no matter of the result.
    hosts: (options.addHosts ?? []).map(({ host: name }) => name),
    allow: options.allow ?? [],
    ...(options.modePolicy === 'git' ? { modes: { modes: 'git' } } : {}),
    ...sandboxKey(options, binds),
    ...(options.env !== undefined && { env: options.env }),
    ...(targets.length > 1 ? { prefix: formatPlatform(targetPlatform) } : {}),
  }
}

/**
 * All that a RUN can see of its sandbox and write into its result. How much memory or processor there is, it can only run out of.
 *
 * @param found digests of what is bound; what has none is another one each time
 */
export function sandboxKey(
  { sandbox, shmBytes, ulimits }: Pick<BuildOptions, 'sandbox' | 'shmBytes' | 'ulimits'>,
  found: readonly (string | undefined)[],
): Pick<PlanOptions, 'sandbox'> {
  const { capabilities, noNewPrivileges, seccomp, devices, binds, ownHosts, resolver } = sandbox ?? {}
  const part = {
    ...(capabilities !== undefined && { capabilities }),
    ...(noNewPrivileges === true ? { noNewPrivileges } : {}),
    ...(seccomp === undefined || seccomp === 'default' ? {} : { seccomp }),
    ...(devices === undefined || devices.length === 0 ? {} : { devices }),
    ...(binds === undefined || binds.length === 0
      ? {}
      : { binds: binds.map(({ target, readonly }, at) => ({ target, readonly, content: found[at] ?? randomUUID() })) }),
    ...(ownHosts === true ? { ownHosts } : {}),
    ...(resolver === undefined || Object.keys(resolver).length === 0 ? {} : { resolver }),
    ...(shmBytes !== undefined && { shmBytes }),
    ...(ulimits === undefined || ulimits.length === 0 ? {} : { ulimits }),
  }
  return Object.keys(part).length === 0 ? {} : { sandbox: part }
}
