import { resolve } from 'node:path'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import { withFileErrors } from '#image/file.ts'
import { layout, pathOf } from '#store/layout.ts'
import { parseDuration } from '#text/duration.ts'
import { parseBytes } from '#text/size.ts'
import type { ServerAuth } from '#registry/server/auth.ts'
import type { CollectOptions } from '#registry/server/collect.ts'
import { parseHtpasswd } from '#registry/server/htpasswd.ts'
import type { Webhook } from '#registry/server/notifications.ts'
import { serve, type ServeOptions } from '#registry/server/server.ts'
import type { Upstream } from '#registry/server/upstream.ts'
import type { Invocation, Values } from '../command.ts'
import { readSmallFile } from '../key-values.ts'
import { openClient } from '../places.ts'
import type { Settings } from '../settings.ts'
import type { serveFlags } from './serve-flags.ts'

type Given = Values<typeof serveFlags>

/** Runs the embedded registry until it is told to stop. */
export async function run(invocation: Invocation<typeof serveFlags>): Promise<void> {
  const { cx, flags, settings, report } = invocation
  const directory = flags.directory === undefined ? pathOf(settings, layout.registry) : resolve(settings.cwd, flags.directory)
  if (flags.gc) return (await import('./collect.ts')).runCollection(invocation, directory, collectOptions(flags))
  if (flags['dry-run']) throw new StaveError('usage', '--dry-run goes with --gc')
  await withFileErrors(`serve a registry from ${directory}`, async () => makeDirectories(directory, 0o700))
  await using clients = new AsyncDisposableStack()
  const server = await serve({ directory, ...(await serveOptions(flags, settings, clients)), report: (event) => report.event(event) })
  clients.defer(() => server.close())
  report.print(server.url)
  if (!flags.quiet) report.note(`serving ${directory}; Ctrl-C stops`)
  await new Promise<void>((done) => {
    if (cx.signal.aborted) done()
    cx.signal.addEventListener('abort', () => done(), { once: true })
  })
}

async function serveOptions(flags: Given, settings: Settings, clients: AsyncDisposableStack): Promise<Omit<ServeOptions, 'directory'>> {
  const pem = (file: string) => readSmallFile(file, settings, 1 << 20)
  const auth = authOf(flags, pem)
  const certificate = flags['tls-cert']
  const authority = flags['tls-client-ca']
  if (certificate === undefined && authority !== undefined) throw new StaveError('usage', '--tls-client-ca needs --tls-cert')
  const upstreams = flags.upstream.map(parseUpstream)
  const { quota, 'repository-quota': repositoryQuota } = flags
  const client = upstreams.length === 0 ? undefined : clients.use(await openClient(settings, { ...flags, retry: 1 }))
  return {
    host: flags.host ?? '127.0.0.1',
    port: flags.port ?? 5000,
    readOnly: flags['read-only'] ?? false,
    sparse: flags.sparse ?? false,
    allowedHosts: flags['allowed-host'],
    ...(auth && { auth }),
    ...(certificate !== undefined && {
      tls: {
        certificate: pem(certificate),
        key: pem(flags['tls-key'] ?? certificate),
        ...(authority !== undefined && { clientAuthority: pem(authority) }),
      },
    }),
    ...((quota ?? repositoryQuota) !== undefined && {
      quota: {
        ...(quota !== undefined && { total: parseBytes(quota, '--quota') }),
        ...(repositoryQuota !== undefined && { repository: parseBytes(repositoryQuota, '--repository-quota') }),
      },
    }),
    ...(client && { upstreams: { client, from: upstreams } }),
    ...(flags.webhook.length > 0 && { webhooks: webhooksOf(flags, settings) }),
    ...collectWhileServing(flags),
  }
}

function authOf(flags: Given, read: (file: string) => string): ServerAuth | undefined {
  const { htpasswd, tokens, 'token-realm': realm, 'token-service': service, 'token-issuer': issuer, 'token-keys': keys } = flags
  const given = [realm, service, issuer, keys].filter((each) => each !== undefined)
  if (given.length > 0) {
    if (htpasswd !== undefined) throw new StaveError('usage', '--htpasswd and --token-realm exclude each other')
    if (realm === undefined || service === undefined || issuer === undefined || keys === undefined)
      throw new StaveError('usage', '--token-realm, --token-service, --token-issuer and --token-keys go together')
    if (!URL.canParse(realm) || /["\\]/.test(realm + service))
      throw new StaveError('usage', '--token-realm takes the address of a token server')
    return { kind: 'bearer', realm, service, issuer, keys: read(keys) }
  }
  if (htpasswd === undefined) {
    if (tokens) throw new StaveError('usage', '--tokens needs --htpasswd')
    return undefined
  }
  return { kind: tokens ? 'token' : 'basic', users: parseHtpasswd(read(htpasswd)) }
}

/** `[PREFIX=]REGISTRY[/PATH]` */
function parseUpstream(text: string): Upstream {
  const host = /(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d+)?/.source
  const path = '[a-z0-9][a-z0-9._/-]*'
  const [, prefix = '', registry = '', below = ''] = new RegExp(`^(?:(${path})=)?(${host})(?:/(${path}))?$`).exec(text) ?? []
  if (registry !== '') return { prefix, registry, path: below }
  throw new StaveError('usage', `--upstream takes [PREFIX=]REGISTRY[/PATH], not ${JSON.stringify(text)}`, {
    hint: 'Such as docker.io, or ghcr.io=ghcr.io for what is below ghcr.io/.',
  })
}

function webhooksOf(flags: Given, settings: Settings): Webhook[] {
  const file = flags['webhook-headers']
  const headers = file === undefined ? undefined : parseHeaders(readSmallFile(file, settings, 1 << 16), file)
  const actions = flags['webhook-events'] as NonNullable<Webhook['actions']>
  return flags.webhook.map((url) => {
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) throw new StaveError('usage', '--webhook takes an address of http or https')
    return { url, ...(headers && { headers }), ...(actions.length > 0 && { actions }) }
  })
}

function parseHeaders(text: string, file: string): Record<string, string> {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'))
  return Object.fromEntries(
    lines.map((line, at) => {
      const [, name, value] = /^([!#$%&'*+.^_`|~\w-]+):\s*(.*?)\s*$/.exec(line) ?? []
      // The line itself may be a secret.
      if (name === undefined) throw new StaveError('usage', `cannot read ${file}: line ${at + 1} is no header field`)
      return [name, value ?? '']
    }),
  )
}

function collectWhileServing(flags: Given): Pick<ServeOptions, 'collect'> {
  const every = flags['gc-every']
  if (every !== undefined) return { collect: { ...collectOptions(flags), everyMs: Math.max(1000, milliseconds(every)) } }
  if (flags['gc-after'] ?? flags['gc-untagged'] ?? flags['gc-uploads'])
    throw new StaveError('usage', '--gc-after, --gc-untagged and --gc-uploads go with --gc or --gc-every')
  return {}
}

function collectOptions(flags: Given): CollectOptions {
  const { 'gc-after': after, 'gc-untagged': untagged, 'gc-uploads': uploads } = flags
  return {
    ...(after !== undefined && { graceMs: milliseconds(after) }),
    ...(untagged !== undefined && { untaggedMs: milliseconds(untagged) }),
    ...(uploads !== undefined && { uploadMs: milliseconds(uploads) }),
    ...(flags['dry-run'] && { dryRun: true }),
  }
}

function milliseconds(text: string): number {
  return parseDuration(text) / 1e6
}
