import path from 'node:path'
import type { Context } from '#context.ts'
import { type AuthFile, type FileFormat, lookUp, readAuthFile } from './credential-file.ts'
import { askHelper } from './credential-helper.ts'
import { type Credential, identityTokenUser, serverNames } from './credential.ts'

/** Finds the credential for a repository of a registry. */
export interface Credentials {
  /** @param registry host and port as in a reference, `docker.io` for Docker Hub */
  find(cx: Context, registry: string, repository: string): Promise<Credential | undefined>
}

/** Where credentials are looked up and stored. */
export interface CredentialPaths {
  /** In the order of search; the first file that knows the registry wins. Missing files are skipped. */
  readonly search: readonly { readonly path: string; readonly format: FileFormat }[]
  /** The file that a person named: that it knows nothing of a registry is said, where another one does. */
  readonly named?: string
  /** The file that `login` writes. */
  readonly store: { readonly path: string; readonly format: FileFormat }
  /** Extra environment for `docker-credential-*` programs, which find their own configuration by it. */
  readonly environment: Readonly<Record<string, string>>
  /** For `~` in messages. */
  readonly home?: string
}

/**
 * The usual places, computed from an environment. A file named by `authFile` or $REGISTRY_AUTH_FILE comes first;
 * unlike with containers' tools, the other places are still searched after it, so that a login made by Docker is found.
 *
 * @see containers-auth.json(5)
 */
export function defaultCredentialPaths(
  environment: Readonly<Record<string, string | undefined>>,
  user: { readonly uid: number; readonly home: string; readonly platform?: string },
  options: { readonly authFile?: string } = {},
): CredentialPaths {
  const named = options.authFile ?? nonEmpty(environment.REGISTRY_AUTH_FILE)
  const config = path.join(nonEmpty(environment.XDG_CONFIG_HOME) ?? path.join(user.home, '.config'), 'containers/auth.json')
  const runtimeDirectory = nonEmpty(environment.XDG_RUNTIME_DIR)
  let runtime = config
  if (runtimeDirectory !== undefined) runtime = path.join(runtimeDirectory, 'containers/auth.json')
  else if ((user.platform ?? 'linux') === 'linux') runtime = `/run/containers/${user.uid}/auth.json`
  const docker = path.join(nonEmpty(environment.DOCKER_CONFIG) ?? path.join(user.home, '.docker'), 'config.json')
  const search = [
    ...(named === undefined ? [] : [{ path: named, format: 'containers' as const }]),
    { path: runtime, format: 'containers' as const },
    { path: config, format: 'containers' as const },
    { path: docker, format: 'docker' as const },
    { path: path.join(user.home, '.dockercfg'), format: 'legacy' as const },
  ]
  // Without $XDG_RUNTIME_DIR only root can be sure that it may write below /run.
  const usual = runtimeDirectory !== undefined || user.uid === 0 ? runtime : config
  return {
    search: search.filter((file, index) => search.findIndex((other) => other.path === file.path) === index),
    store: { path: named ?? usual, format: 'containers' },
    ...(options.authFile !== undefined && { named: options.authFile }),
    environment: Object.fromEntries(Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined)),
    home: user.home,
  }
}

/** Credentials from files and helper programs, each read at most once. */
export function openCredentials(paths: CredentialPaths): Credentials {
  const files = new Map<string, Promise<AuthFile | undefined>>()
  const helped = new Map<string, Promise<Credential | undefined>>()

  const read = (file: CredentialPaths['search'][number]) => {
    let reading = files.get(file.path)
    if (reading === undefined) {
      reading = readAuthFile(file.path, file.format)
      files.set(file.path, reading)
    }
    return reading
  }
  const help = (cx: Context, helper: string, server: string) => {
    const key = `${helper}\n${server}`
    let asking = helped.get(key)
    if (asking === undefined) {
      asking = askHelper(cx, helper, server, paths.environment)
      // A cancelled or failed look-up may be tried again.
      asking.catch(() => helped.delete(key))
      helped.set(key, asking)
    }
    return asking
  }

  return {
    async find(cx, registry, repository) {
      const found = await search(cx, registry, repository)
      if (paths.named !== undefined && found !== undefined && found.path !== paths.named) {
        const message = `${paths.named} has no credentials for ${registry}: those in ${found.credential.from} are used`
        cx.report({ type: 'warning', message })
      }
      return found?.credential
    },
  }

  async function search(
    cx: Context,
    registry: string,
    repository: string,
  ): Promise<{ readonly credential: Credential; readonly path: string } | undefined> {
    for (const file of paths.search) {
      const credential = await inFile(cx, file, registry, repository)
      if (credential !== undefined) return { credential, path: file.path }
    }
    return undefined
  }

  async function inFile(
    cx: Context,
    file: CredentialPaths['search'][number],
    registry: string,
    repository: string,
  ): Promise<Credential | undefined> {
    const content = await read(file)
    if (content === undefined) return undefined
    const from = shorten(file.path, paths.home)
    const perRegistry = serverNames(registry).find((name) => Object.hasOwn(content.credHelpers, name))
    if (perRegistry !== undefined) {
      const found = await help(cx, content.credHelpers[perRegistry]!, perRegistry)
      if (found !== undefined) return { ...found, from: `${found.from} (named by ${from})` }
    }
    if (content.credsStore !== undefined) {
      for (const name of serverNames(registry)) {
        const found = await help(cx, content.credsStore, name)
        if (found !== undefined) return { ...found, from: `${found.from} (named by ${from})` }
      }
    }
    const found = lookUp(content, registry, repository)
    return found === undefined ? undefined : { ...found, from }
  }
}

/** One credential for every registry asked about: what `--creds` means. */
export function givenCredentials(username: string, password: string, from = 'the command line'): Credentials {
  const credential: Credential =
    username === identityTokenUser
      ? { kind: 'identity-token', username, token: password, from }
      : { kind: 'password', username, password, from }
  return { find: async () => credential }
}

/** A bearer token for every registry asked about, sent as it is. */
export function givenToken(token: string, from = 'the command line'): Credentials {
  return { find: async () => ({ kind: 'registry-token', token, from }) }
}

/** No credentials at all. */
export const anonymous: Credentials = { find: async () => undefined }

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}

function shorten(file: string, home: string | undefined): string {
  return home !== undefined && home !== '/' && file.startsWith(`${home}/`) ? `~${file.slice(home.length)}` : file
}

/** The registries that files have credentials for. Those that only a helper program knows are not among them. */
export async function storedRegistries(paths: CredentialPaths): Promise<string[]> {
  const keys = new Set<string>()
  for (const file of [paths.store, ...paths.search])
    for (const key of Object.keys((await readAuthFile(file.path, file.format))?.auths ?? {})) keys.add(key)
  return [...keys]
}
