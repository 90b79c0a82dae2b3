import { layout, pathOf } from '#store/layout.ts'
import { parseDuration } from '#text/duration.ts'
import { StaveError } from '#error.ts'
import { openPlaces, type Places } from '#places/places.ts'
import type { Credentials } from '#registry/login/credentials.ts'
import type { Certificates } from '#registry/client/certificates.ts'
import type { Hosts } from '#registry/client/hosts.ts'
import type { Connection } from '#registry/explain.ts'
import type { RegistryClient } from '#registry/client/registry.ts'
import type { RetryPolicy } from '#registry/client/choices.ts'
import { makePrivateRoot } from '#store/private.ts'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { daemonHost } from './daemon-host.ts'
import type { TrustChoices } from './trust/guard.ts'
import type { Session } from './session.ts'
import type { Settings } from './settings.ts'
import { version } from './version.ts'

/** How registries are spoken to, as flags say it. */
export interface RegistryChoices extends TrustChoices {
  /** What is read is only looked at: no policy is asked. */
  readonly unverified?: boolean

  readonly 'tls-verify'?: boolean | undefined
  readonly creds?: string | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly 'registry-token'?: string | undefined
  /** Which Docker daemon `docker-daemon:` means. */
  readonly 'daemon-host'?: string | undefined
  /** Where OCI layouts have their blobs. */
  readonly 'shared-blob-dir'?: string | undefined
  readonly 'no-creds'?: boolean | undefined
  readonly authfile?: string | undefined
  /** A file of docker's form, which login and logout change in place of podman's. */
  readonly 'compat-auth-file'?: string | undefined
  readonly 'cert-dir'?: string | undefined
  readonly retry?: number | undefined
  readonly 'retry-delay'?: string | undefined
  /** Which registries `creds` are for. Default: all that are asked, where the command line names each of them. */
  readonly credsFor?: (registry: string) => boolean
  /** Certificates for hosts, before those in certs.d. */
  readonly certificates?: ReadonlyMap<string, Certificates>
  /** Changes what registries.conf says. */
  readonly hosts?: (hosts: Hosts) => Hosts
}

/** The places that a command line can name. `session` is opened when the store is named. */
export function createPlaces(settings: Settings, choices: RegistryChoices, session: () => Promise<Session>): Places {
  return openPlaces({
    cwd: settings.cwd,
    temporary: () => spoolDirectory(settings),
    sharedBlobs: choices['shared-blob-dir'],
    client: () => openClient(settings, choices),
    store: async () => (await session()).store,
    daemon: (location) => daemonHost(location, choices['daemon-host'], settings),
    ...(!choices.unverified && {
      guard: async () => (await import('./trust/guard.ts')).openGuard(choices, settings),
    }),
  })
}

/** A client with what flags, files and environment say. */
export async function openClient(settings: Settings, choices: RegistryChoices): Promise<RegistryClient> {
  const [{ createRegistryClient }, { bundleOf }, connection] = await Promise.all([
    import('#registry/client/registry.ts'),
    import('#registry/client/certificates.ts'),
    connectionOf(settings, choices),
  ])
  const { credentials, hosts, certificates, certificateDirectory, verifyTls: verify, proxy } = connection
  const retry = chosenRetry(choices)
  return createRegistryClient({
    credentials,
    hosts,
    tls: {
      certificates,
      bundle: bundleOf(settings.env),
      given: choices.certificates,
      ...(verify !== undefined && { verify }),
      ...(certificateDirectory !== undefined && { certificateDirectory }),
    },
    proxy,
    userAgent: `stave/${version}`,
    ...(retry && { retry }),
  })
}

/** What decides how registries are reached, by flags, files and environment. */
export async function connectionOf(settings: Settings, choices: RegistryChoices): Promise<Connection> {
  const [credentials, hosts] = await Promise.all([import('#registry/login/credentials.ts'), import('#registry/client/hosts.ts')])
  const { env } = settings
  const paths = hosts.defaultHostsPaths(env, settings)
  // The capitals first, as in Go.
  const [http, https, no] = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].map((name) => env[name] || env[name.toLowerCase()])
  return {
    credentials: chosenCredentials(settings, choices, credentials),
    hosts: (choices.hosts ?? ((read) => read))(hosts.readHosts(paths)),
    certificates: paths.certificates,
    certificateDirectory: choices['cert-dir'] === undefined ? undefined : resolve(settings.cwd, choices['cert-dir']),
    verifyTls: choices['tls-verify'],
    proxy: { ...(http && { http }), ...(https && { https }), ...(no && { no }) },
  }
}

function chosenCredentials(
  settings: Settings,
  choices: RegistryChoices,
  module: typeof import('#registry/login/credentials.ts'),
): Credentials {
  const chosen = givenOnes(choices, module)
  if (choices['no-creds']) {
    if (chosen !== undefined) throw new StaveError('usage', '--creds and --no-creds exclude each other')
    return module.anonymous
  }
  if (chosen !== undefined) {
    const all = chosen
    const { credsFor } = choices
    return credsFor === undefined
      ? all
      : { find: async (cx, registry, repository) => (credsFor(registry) ? all.find(cx, registry, repository) : undefined) }
  }
  // A file that was named by mistake must not lead to a try without credentials.
  if (choices.authfile !== undefined && !existsSync(resolve(settings.cwd, choices.authfile))) {
    throw new StaveError('not-found', `cannot read the credential file ${choices.authfile}: it does not exist`, {
      hint: `stave login --authfile ${choices.authfile} makes it.`,
    })
  }
  return module.openCredentials(credentialPaths(settings, choices, module))
}

function chosenRetry(choices: RegistryChoices): Partial<RetryPolicy> | undefined {
  const { retry, 'retry-delay': delay } = choices
  if (retry !== undefined && (!Number.isInteger(retry) || retry < 0))
    throw new StaveError('usage', `--retry takes a number of times, not ${retry}`)
  if (retry === undefined && delay === undefined) return undefined
  return {
    ...(retry !== undefined && { attempts: retry + 1 }),
    // One delay for all, as in skopeo.
    ...(delay !== undefined && { firstDelayMs: delayMs(delay), maxDelayMs: delayMs(delay) }),
  }
}

function delayMs(text: string): number {
  try {
    return parseDuration(/^\d+$/.test(text) ? `${text}s` : text) / 1e6
  } catch {
    throw new StaveError('usage', `--retry-delay takes a time such as 2s or 500ms, not ${JSON.stringify(text)}`)
  }
}

/** Where credentials are, for this user and these flags. */
export function credentialPaths(settings: Settings, choices: RegistryChoices, module: typeof import('#registry/login/credentials.ts')) {
  const compat = choices['compat-auth-file']
  if (compat !== undefined && choices.authfile !== undefined)
    throw new StaveError('usage', '--authfile and --compat-auth-file exclude each other')

  const paths = module.defaultCredentialPaths(
    settings.env,
    settings,
    choices.authfile === undefined ? {} : { authFile: resolve(settings.cwd, choices.authfile) },
  )
  if (compat === undefined) return paths
  // Docker's file, by its rules, and no other.
  const file = { path: resolve(settings.cwd, compat), format: 'docker' } as const
  return { ...paths, search: [file], store: file }
}

/** What the command line itself has. @throws StaveError `usage` for more than one of it */
function givenOnes(choices: RegistryChoices, module: typeof import('#registry/login/credentials.ts')): Credentials | undefined {
  const { creds, username, password, 'registry-token': token } = choices
  if ([creds, username ?? password, token].filter((each) => each !== undefined).length > 1)
    throw new StaveError('usage', '--creds, --username with --password, and --registry-token exclude each other')
  if (token !== undefined) return module.givenToken(token)
  if (creds !== undefined) return given(creds, module)
  if (username === undefined && password === undefined) return undefined
  if (username === undefined || username === '' || password === undefined)
    throw new StaveError('usage', '--username and --password go together')
  return module.givenCredentials(username, password)
}

function given(text: string, module: typeof import('#registry/login/credentials.ts')) {
  const [username = '', password = ''] = text.split(/:(.*)/s)
  if (username === '') throw new StaveError('usage', '--creds takes USER[:PASSWORD]')
  return module.givenCredentials(username, password)
}

/** Where an archive is put that comes as a stream or compressed: on the disk of the store, which has room if any has. */
export function spoolDirectory(settings: Settings): string {
  if (settings.temporary !== undefined) return resolve(settings.cwd, settings.temporary)
  const directory = pathOf(settings, layout.temporary)
  makePrivateRoot(settings.root)
  return directory
}
