import type { Context } from '#context.ts'
import { checkOptions, type CheckOptions } from '#dockerfile/check-options.ts'
import type { Dockerfile } from '#dockerfile/instruction.ts'
import { lint, type LintWarning } from '#dockerfile/lint.ts'
import { parseDockerfile } from '#dockerfile/parse.ts'
import type { StageOptions } from '#dockerfile/stage.ts'
import { StaveError } from '#error.ts'
import { hostPlatform, parsePlatform } from '#oci/platform.ts'
import { openContexts } from './context.ts'
import type { BuildOptions } from './options.ts'

export interface Checked {
  readonly text: string
  readonly dockerfile: Dockerfile
  readonly warnings: readonly LintWarning[]
  /** The file asks (`# check=error=true`) that warnings make it fail. */
  readonly isError: boolean
  readonly stageOptions: StageOptions
}

/**
 * Checks the Dockerfile that a build with these options would use. Nothing is executed and no base image is asked for.
 *
 * @throws StaveError `dockerfile` for what no build could do
 */
export async function check(cx: Context, options: BuildOptions): Promise<Checked> {
  await using contexts = openContexts(options)
  const { text, file } = await contexts.dockerfile(cx)
  try {
    const dockerfile = parseDockerfile(text, { file })
    const host = hostPlatform(process.arch)
    const [platform = host] = (options.platforms ?? []).map((one) => parsePlatform(one, host))
    const stageOptions: StageOptions = {
      buildArgs: new Map(Object.entries(options.buildArgs ?? {})),
      targetPlatform: platform,
      buildPlatform: host,
      ...(options.target !== undefined && { target: options.target }),
    }
    const { ignore } = await contexts.open(cx, '')
    const warnings = lint(dockerfile, { ...stageOptions, ...(ignore.length > 0 && { ignore }) })
    const chosen: CheckOptions = checkOptions(dockerfile, stageOptions.buildArgs)
    return { text, dockerfile, warnings, isError: chosen.error, stageOptions }
  } catch (error) {
    if (error instanceof StaveError && error.span?.file === file) error.text ??= text
    throw error
  }
}
