import { StaveError } from '#error.ts'
import * as credentialsModule from '#registry/login/credentials.ts'
import { storedRegistries } from '#registry/login/credentials.ts'
import { eraseCredential } from '#registry/login/login.ts'
import type { Invocation } from '../command.ts'
import { credentialPaths } from '../places.ts'
import type { logoutFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof logoutFlags>): Promise<void> {
  const paths = credentialPaths(settings, flags, credentialsModule)
  const keys = flags.all ? await storedRegistries(paths) : [(args[0] ?? 'docker.io').replace(/^https?:\/\//, '').replace(/\/$/, '')]
  for (const key of keys) {
    const held = await eraseCredential(cx, paths, key)
    if (held.length === 0) throw new StaveError('credentials', `not logged in to ${key}`)
    report.print(`Removed login credentials for ${key}`)
  }
}
