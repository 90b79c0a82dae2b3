import { StaveError } from '#error.ts'
import * as credentialsModule from '#registry/login/credentials.ts'
import { storedRegistries } from '#registry/login/credentials.ts'
import { eraseCredential } from '#registry/login/login.ts'
import type { Invocation } from '../command.ts'
import { credentialPaths } from '../places.ts'
import type { logoutFlags } from './commands.ts'

export async function run({ cx, flags, args, settings, report }: Invocation<typeof logoutFlags>): Promise<void> {
  const found = credentialPaths(settings, flags, credentialsModule)
  // A file that is named is the only one that is changed.
  const paths = flags.authfile === undefined ? found : { ...found, search: [found.store] }
  const keys = flags.all ? await storedRegistries(paths) : [(args[0] ?? 'docker.io').replace(/^https?:\/\//, '').replace(/\/$/, '')]
  for (const key of keys) {
    const held = await eraseCredential(cx, paths, key)
    if (held.length === 0) throw new StaveError('credentials', `not logged in to ${key}`)
    report.print(`Removed login credentials for ${key}`)
  }
}
