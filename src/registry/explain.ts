import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Context } from '#context.ts'
import type { Reference } from '#oci/reference.ts'
import { createHosts } from './client/host.ts'
import type { Endpoint, Hosts, HostsRule } from './client/hosts.ts'
import { type ProxySettings, proxyFor } from './client/proxy.ts'
import { entryFor, readAuthFile } from './login/credential-file.ts'
import { type Credential, serverNames } from './login/credential.ts'
import type { CredentialPaths, Credentials } from './login/credentials.ts'

/** What leads to a repository: nothing of it is secret. */
export interface Explanation {
  /** The table of registries.conf that the name falls under. */
  readonly rule: HostsRule | undefined
  /** Where it is read from, in this order; the last one is the registry itself, which alone is written to. */
  readonly endpoints: readonly ExplainedEndpoint[]
}

export interface ExplainedEndpoint {
  readonly host: string
  readonly repository: string
  readonly isMirror: boolean
  readonly serves: Endpoint['serves']
  /** What it is asked in, the first that it speaks. */
  readonly schemes: readonly ('https' | 'http')[]
  readonly verifiesCertificates: boolean
  /** The directory of certs.d that is there for it. */
  readonly certificates: string | undefined
  /** Without user and password. */
  readonly proxy: string | undefined
  readonly credential: ExplainedCredential | undefined
}

export interface ExplainedCredential {
  readonly kind: Credential['kind']
  readonly user: string | undefined
  /** The file, or the helper and the file that names it. */
  readonly from: string
}

/** What one file says of a repository's credentials. */
export interface ExplainedFile {
  readonly path: string
  readonly state: 'absent' | 'nothing' | 'entry' | 'helper'
  /** The entry, or what the helper is asked for. */
  readonly key?: string
  readonly helper?: string
}

/** What decides how registries are reached. */
export interface Connection {
  /** registries.conf */
  readonly hosts: Hosts
  /** Directories of certs.d. */
  readonly certificates: readonly string[]
  /** `--cert-dir`: for every host, instead of these. */
  readonly certificateDirectory?: string | undefined
  readonly verifyTls?: boolean | undefined
  readonly proxy: ProxySettings
  readonly credentials: Credentials
}

/**
 * Says what a request for a repository would be sent to, and with what. Nothing is sent; helpers of credentials are asked.
 *
 * @throws StaveError `denied` where registries.conf blocks the name; `credentials`
 */
export async function explain(cx: Context, reference: Reference, from: Connection): Promise<Explanation> {
  const { registry, repository, tag } = reference
  const known = createHosts(from.verifyTls)
  const endpoints: ExplainedEndpoint[] = []
  for (const endpoint of from.hosts.endpoints(registry, repository, tag)) {
    const { schemes, isInsecure } = known.of(endpoint)
    const url = new URL(`${schemes[0]!}//${endpoint.host}`)
    const credential = await from.credentials.find(cx, endpoint.registry, endpoint.repository)
    endpoints.push({
      host: endpoint.host,
      repository: endpoint.repository,
      isMirror: endpoint.isMirror,
      serves: endpoint.serves,
      schemes: schemes.map((scheme) => (scheme === 'https:' ? 'https' : 'http')),
      verifiesCertificates: !isInsecure,
      certificates:
        from.certificateDirectory ?? from.certificates.map((parent) => path.join(parent, url.host)).find((each) => existsSync(each)),
      proxy: withoutSecret(proxyFor(url, from.proxy)),
      credential: credential === undefined ? undefined : briefly(credential),
    })
  }
  return { rule: from.hosts.rule(registry, repository, tag), endpoints }
}

function briefly(credential: Credential): ExplainedCredential {
  return { kind: credential.kind, user: credential.kind === 'registry-token' ? undefined : credential.username, from: credential.from }
}

function withoutSecret(proxy: string | undefined): string | undefined {
  const url = proxy === undefined ? null : URL.parse(proxy)
  return url === null ? undefined : `${url.protocol}//${url.host}`
}

/** What each file says, in the order of search: the first with an entry, or a helper that knows the registry, is used. */
export async function explainCredentials(paths: CredentialPaths, registry: string, repository: string): Promise<readonly ExplainedFile[]> {
  return Promise.all(
    paths.search.map(async ({ path: file, format }): Promise<ExplainedFile> => {
      const content = await readAuthFile(file, format)
      if (content === undefined) return { path: file, state: 'absent' }
      const names = serverNames(registry)
      const named = names.find((name) => Object.hasOwn(content.credHelpers, name))
      if (named !== undefined) return { path: file, state: 'helper', key: named, helper: content.credHelpers[named]! }
      const entry = entryFor(content, registry, repository)
      if (entry !== undefined && content.credsStore === undefined) return { path: file, state: 'entry', key: entry.key }
      if (content.credsStore !== undefined) return { path: file, state: 'helper', key: names[0]!, helper: content.credsStore }
      return { path: file, state: 'nothing' }
    }),
  )
}
