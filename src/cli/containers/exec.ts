import { findContainer } from '#container/container.ts'
import { execContainer } from '#container/exec.ts'
import type { Invocation } from '../command.ts'
import { environmentWords, readEnvFile } from '../key-values.ts'
import { openSession } from '../session.ts'
import { containerStdio } from './stdio.ts'
import type { execFlags } from './commands.ts'

export async function run({ cx, flags, args, settings }: Invocation<typeof execFlags>): Promise<number> {
  const [name = '', ...command] = args
  await using session = await openSession(settings)
  return await execContainer(
    cx,
    session.store,
    findContainer(session.store, name),
    {
      command,
      env: [...flags['env-file'].flatMap((file) => readEnvFile(file, settings)), ...environmentWords(flags.env, settings)],
      terminal: flags.tty ?? false,
      interactive: flags.interactive ?? false,
      privileged: flags.privileged ?? false,
      detach: flags.detach ?? false,
      ...(flags['detach-keys'] !== undefined && { detachKeys: flags['detach-keys'] }),
      ...(flags.user !== undefined && { user: flags.user }),
      ...(flags.workdir !== undefined && { workdir: flags.workdir }),
    },
    containerStdio(flags),
  )
}
