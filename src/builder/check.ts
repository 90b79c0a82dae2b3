import type { Context } from '#context.ts'
import { checkOptions } from '#dockerfile/check-options.ts'
import type { Dockerfile } from '#dockerfile/instruction.ts'
import { lint, type LintOptions, type LintWarning } from '#dockerfile/lint.ts'
import { parseDockerfile } from '#dockerfile/parse.ts'
import { resolveGlobals, resolveStages, type StageOptions } from '#dockerfile/stage.ts'
import { StaveError } from '#error.ts'
import type { Platform } from '#oci/descriptor.ts'
import { hostPlatform, parsePlatform } from '#oci/platform.ts'
import { openContexts } from './input/context.ts'
import { createImages, type BaseImage } from './input/images.ts'
import type { BuildOptions } from './options.ts'
import { imageKey, type ImageNeed } from './plan/planner.ts'
import type { Session } from './session.ts'
import { createSecrets } from './input/secrets.ts'

export interface Checked {
  readonly text: string
  readonly dockerfile: Dockerfile
  readonly warnings: readonly LintWarning[]
  /** The file asks (`# check=error=true`) that warnings make it fail. */
  readonly isError: boolean
  readonly stageOptions: StageOptions
}

/**
 * Checks the Dockerfile that a build with these options would use. Nothing is executed, and no registry is asked: of
 * base images, what the store has is known.
 *
 * @throws StaveError `dockerfile` for what no build could do
 */
export async function check(cx: Context, options: BuildOptions): Promise<Checked> {
  await using contexts = openContexts(options, createSecrets(options.secrets))
  const { text, file } = await contexts.dockerfile(cx)
  try {
    const dockerfile = parseDockerfile(text, { file })
    const host = hostPlatform(process.arch)
    const [platform = host] = (options.platforms ?? []).map((one) => (one === 'local' ? host : parsePlatform(one, host)))
    const stageOptions = stageOptionsOf(options, platform, host)
    const { ignore } = await contexts.open(cx, '')
    const images = createImages({ ...options, pull: 'never' })
    const known = await basesOf(cx, dockerfile, stageOptions, (need) => images.resolve(cx, need).catch(() => undefined))
    const warnings = lint(dockerfile, { ...stageOptions, images: known, ...(ignore.length > 0 && { ignore }) })
    return { text, dockerfile, warnings, isError: checkOptions(dockerfile, stageOptions.buildArgs).error, stageOptions }
  } catch (error) {
    if (error instanceof StaveError && error.span?.file === file) error.text ??= text
    throw error
  }
}

/**
 * What the rules find in a file that is built: warnings, and where the file asks for it an error.
 *
 * @param isFromContext whether it copies from its context, and so ignored files matter
 * @throws StaveError `dockerfile`
 */
export async function reportFindings(
  cx: Context,
  { options, contexts }: Pick<Session, 'options' | 'contexts'>,
  dockerfile: Dockerfile,
  { platform, host, isFromContext }: { readonly platform: Platform; readonly host: Platform; readonly isFromContext: boolean },
  bases: ReadonlyMap<string, BaseImage>,
): Promise<void> {
  const stageOptions = stageOptionsOf(options, platform, host)
  const isError = checkOptions(dockerfile, stageOptions.buildArgs).error
  if (!isError && options.findings !== true) return
  const ignore = isFromContext ? (await contexts.open(cx, '')).ignore : []
  const images = await basesOf(cx, dockerfile, stageOptions, async ({ key }) => bases.get(key))
  const warnings = lint(dockerfile, { ...stageOptions, images, ...(ignore.length > 0 && { ignore }) })
  // The build says that itself, of every image that it uses.
  const unsaid = warnings.filter(({ rule }) => rule !== 'InvalidBaseImagePlatform')
  const [first] = warnings
  for (const { rule, message, file, span } of isError ? warnings.slice(1) : unsaid)
    cx.report({ type: 'warning', message: `${rule}: ${message}`, file, line: span.line })
  if (!isError || first === undefined) return
  throw new StaveError('dockerfile', `${first.rule}: ${first.message}`, {
    span: first.span,
    hint: 'The file says that findings are errors (check=error=true). `# check=skip=RULE` above an instruction leaves a rule out.',
  })
}

function stageOptionsOf({ buildArgs, target }: BuildOptions, targetPlatform: Platform, buildPlatform: Platform): StageOptions {
  return {
    buildArgs: new Map(Object.entries(buildArgs ?? {})),
    targetPlatform,
    buildPlatform,
    ...(target !== undefined && { target }),
  }
}

/** What is known of the images that stages are based on, by the index of the stage. */
async function basesOf(
  cx: Context,
  dockerfile: Dockerfile,
  options: StageOptions,
  find: (need: ImageNeed) => Promise<BaseImage | undefined>,
): Promise<NonNullable<LintOptions['images']>> {
  const stages = resolveStages(dockerfile, resolveGlobals(dockerfile, options))
  const found = await Promise.all(
    stages.map(async ({ index, base, platform = options.targetPlatform }) => {
      if (base.kind !== 'image') return []
      const { name: reference } = base
      const image = await find({ key: imageKey(reference, platform), reference, platform, span: undefined })
      if (image === undefined) return []
      const { os, architecture, variant, config } = await image.image.config(cx)
      const shell = config?.Shell
      const known = { env: config?.Env ?? [], platform: { os, architecture, ...(variant !== undefined && { variant }) } }
      return [[index, shell ? { ...known, shell } : known] as const]
    }),
  )
  return new Map(found.flat())
}
