import { findContainer } from '#container/container.ts'
import { commitContainer } from '#container/commit.ts'
import type { ExecutionConfig } from '#oci/config.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { wantedPlatform } from '../images/fetch.ts'
import { openSession } from '../session.ts'
import type { commitFlags } from './copying-commands.ts'

/** Makes an image of a container, and prints its ID. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof commitFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  const [container = '', name] = args
  await using session = await openSession(settings)
  const image = await commitContainer(cx, session.store, findContainer(session.store, container), {
    ...(name !== undefined && { name: formatReference(parseReference(name)) }),
    ...(flags.message !== undefined && { comment: flags.message }),
    ...(flags.author !== undefined && { author: flags.author }),
    ...(flags.change.length > 0 && { changes: await changesOf(flags.change) }),
  })
  await report.settle()
  report.print(image.manifest.config.digest)

  async function changesOf(instructions: readonly string[]): Promise<ExecutionConfig> {
    const { changesOfConfig } = await import('#builder/import.ts')
    return changesOfConfig(instructions, wantedPlatform(undefined, settings))
  }
}
