import { createContainer } from '#container/container.ts'
import type { Invocation } from '../command.ts'
import { containerOptions } from '../container-options.ts'
import { ensureImage } from '../images.ts'
import { openSession } from '../session.ts'
import type { createFlags } from '../table/containers.ts'
import { asRunFailure, writeIdFile } from './run.ts'

/** Makes a container and prints its ID. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof createFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  const [imageName = '', ...command] = args
  try {
    const options = containerOptions(flags, command, settings)
    await using session = await openSession(settings)
    const { image, name } = await ensureImage(cx, session, settings, imageName, flags)
    const container = await createContainer(cx, session.store, image, name, options)
    if (flags.cidfile !== undefined) writeIdFile(flags.cidfile, container.id)
    report.print(container.id)
  } catch (error) {
    throw asRunFailure(error)
  }
}
