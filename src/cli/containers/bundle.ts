import { resolve } from 'node:path'
import { writeBundle } from '#container/bundle.ts'
import { chooseCapabilities } from '#sandbox/capability.ts'
import type { Invocation } from '../command.ts'
import { ensureImage } from '../images/fetch.ts'
import { environmentWords, readEnvFile } from '../key-values.ts'
import { openSession } from '../session.ts'
import type { bundleFlags } from './copying-commands.ts'
import { entrypointOf } from './options.ts'
import { securityOptions } from './security.ts'

/** Writes an image as a bundle of the runtime specification. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof bundleFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  const [name = '', directory = '', ...command] = args
  await using session = await openSession(settings)
  const { image } = await ensureImage(cx, session, settings, name, flags)
  const capabilities = { capAdd: flags['cap-add'], capDrop: flags['cap-drop'] }
  const options = {
    ...(command.length > 0 && { command }),
    ...(flags.entrypoint !== undefined && { entrypoint: entrypointOf(flags.entrypoint) }),
    env: [...flags['env-file'].flatMap((file) => readEnvFile(file, settings)), ...environmentWords(flags.env, settings)],
    ...(flags.workdir !== undefined && { workdir: flags.workdir }),
    ...(flags.user !== undefined && { user: flags.user }),
    ...(flags.hostname !== undefined && { hostname: flags.hostname }),
    terminal: flags.tty ?? false,
    readonly: flags['read-only'] ?? false,
    ...capabilities,
    ...securityOptions(flags['security-opt'], chooseCapabilities(capabilities.capAdd, capabilities.capDrop), settings),
  }
  const owner = settings.uid === 0 ? undefined : { uid: settings.uid, gid: process.getgid?.() ?? settings.uid }
  await writeBundle(cx, session.store, image, resolve(settings.cwd, directory), options, owner)
}
