import type { Context } from '#context.ts'
import { changeAuthFile, readAuthFile } from './credential-file.ts'
import { eraseWithHelper, storeWithHelper } from './credential-helper.ts'
import { identityTokenUser, isDockerHub, serverNames } from './credential.ts'
import type { CredentialPaths } from './credentials.ts'

/** What `login` was given: a password, or an identity token. */
export type Secret = { readonly username: string; readonly password: string } | { readonly identityToken: string }

/**
 * Keeps a credential: with the helper program that the file names for this registry, else in the file.
 * It is not tried out first: see `Registry.ping`.
 *
 * @param key a registry, or a registry with a namespace or repository
 * @returns where it was kept, for a message
 * @throws StaveError `credentials`
 */
export async function storeCredential(cx: Context, paths: CredentialPaths, key: string, secret: Secret): Promise<string> {
  const { path: file, format } = paths.store
  const helper = await helperFor(paths, key)
  if (helper !== undefined) {
    const [username, value] = 'identityToken' in secret ? [identityTokenUser, secret.identityToken] : [secret.username, secret.password]
    await storeWithHelper(cx, helper.name, { server: helper.server, username, secret: value }, paths.environment)
    return `docker-credential-${helper.name}`
  }
  const entry =
    'identityToken' in secret
      ? { auth: Buffer.from(`${identityTokenUser}:`).toString('base64'), identitytoken: secret.identityToken }
      : { auth: Buffer.from(`${secret.username}:${secret.password}`).toString('base64') }
  await changeAuthFile(file, format, fileKey(key, format), entry)
  return file
}

/**
 * Forgets a credential, wherever a look-up would find it.
 *
 * @returns the files and helpers that held it; empty when none did
 */
export async function eraseCredential(cx: Context, paths: CredentialPaths, key: string): Promise<string[]> {
  const held: string[] = []
  const helper = await helperFor(paths, key)
  if (helper !== undefined && (await eraseWithHelper(cx, helper.name, helper.server, paths.environment)))
    held.push(`docker-credential-${helper.name}`)
  const files = [paths.store, ...paths.search.filter((file) => file.path !== paths.store.path)]
  for (const file of files) {
    const content = await readAuthFile(file.path, file.format)
    if (content === undefined) continue
    let had = false
    for (const name of new Set([key, ...serverNames(key)]))
      if (Object.hasOwn(content.auths, name)) had = (await changeAuthFile(file.path, file.format, name, undefined)) || had
    if (had) held.push(file.path)
  }
  return held
}

async function helperFor(paths: CredentialPaths, key: string): Promise<{ name: string; server: string } | undefined> {
  // Helpers know servers, not repositories.
  if (key.includes('/')) return undefined
  const content = await readAuthFile(paths.store.path, paths.store.format)
  const server = serverNames(key).find((name) => content !== undefined && Object.hasOwn(content.credHelpers, name))
  if (content !== undefined && server !== undefined) return { name: content.credHelpers[server]!, server }
  return content?.credsStore === undefined ? undefined : { name: content.credsStore, server: serverNames(key)[0]! }
}

function fileKey(key: string, format: CredentialPaths['store']['format']): string {
  if (!isDockerHub(key)) return key
  return format === 'containers' ? 'docker.io' : serverNames(key)[0]!
}
