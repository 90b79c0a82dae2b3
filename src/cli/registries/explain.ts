import { resolve } from 'node:path'
import { parseReference, formatReference, type Reference } from '#oci/reference.ts'
import { type Explanation, type ExplainedEndpoint, explain, explainCredentials, type ExplainedFile } from '#registry/explain.ts'
import { rulingFor } from '#trust/scope.ts'
import { defaultTrustPaths, readPolicy } from '#trust/host.ts'
import type { Policy } from '#trust/policy.ts'
import type { Invocation } from '../command.ts'
import { connectionOf, credentialPaths, openClient } from '../places.ts'
import type { authExplainFlags, configExplainFlags } from './commands.ts'

/** Says which files, rules and keys decide how a reference is reached. */
export async function explainConfig({ cx, flags, args, settings, report }: Invocation<typeof configExplainFlags>): Promise<void> {
  const reference = referenceOf(args[0]!)
  const found = await explain(cx, reference, await connectionOf(settings, flags))
  const policy = await readPolicy(
    defaultTrustPaths(settings.env, settings, {
      ...(flags['signature-policy'] !== undefined && { policy: resolve(settings.cwd, flags['signature-policy']) }),
    }),
  )
  const { rule, requirements } = rulingFor(policy, { transport: 'docker', reference })
  const trust = { file: policy.file, rule, requirements: requirements.map(({ type }) => type) }
  if (flags.json) return report.json({ reference: formatReference(reference), ...found, policy: trust })
  report.print(formatReference(reference))
  for (const line of [...linesOf(found), policyLine(policy, trust)]) report.print(`  ${line}`)
}

/** Says which credentials are used for a reference, and where they were looked for. */
export async function explainAuth({ cx, flags, args, settings, report }: Invocation<typeof authExplainFlags>): Promise<void> {
  const reference = referenceOf(args[0]!)
  const connection = await connectionOf(settings, flags)
  const { endpoints } = await explain(cx, reference, connection)
  const { host, credential } = endpoints.at(-1)!
  const isGiven = credential?.from === 'the command line'
  const paths = credentialPaths(settings, flags, await import('#registry/login/credentials.ts'))
  const files = isGiven || flags['no-creds'] ? [] : await explainCredentials(paths, reference.registry, reference.repository)
  const answer = answerWith(credential)
  let check: string | undefined
  if (flags.check) {
    await using client = await openClient(settings, flags)
    await client.ping(cx, reference.registry)
    check = `${host} takes them`
  }
  if (flags.json) return report.json({ reference: formatReference(reference), host, files, credential: credential ?? null, answer, check })
  report.print(`${formatReference(reference)} at ${host}`)
  for (const line of [...files.map(fileLine), `uses  ${credentialText(credential)}`, `a 401 is answered with ${answer}`])
    report.print(`  ${line}`)
  if (check !== undefined) report.print(`  ${check}`)
}

function referenceOf(text: string): Reference {
  return parseReference(text.replace(/^docker:\/\//, ''))
}

function linesOf({ rule, endpoints }: Explanation): string[] {
  return [
    rule === undefined ? 'registries.conf  says nothing of it' : `registries.conf  ${rule.file}, the table of ${rule.prefix}`,
    ...endpoints.flatMap((endpoint, at) => [
      `${endpoint.isMirror ? 'read from' : at === 0 ? 'read from and written to' : 'then read from, and written to'}  ${endpoint.host}/${endpoint.repository}${servesText(endpoint)}`,
      `  TLS          ${tlsText(endpoint)}`,
      `  proxy        ${endpoint.proxy ?? 'none'}`,
      `  credentials  ${credentialText(endpoint.credential)}`,
    ]),
  ]
}

function servesText({ serves }: ExplainedEndpoint): string {
  return serves === 'all' ? '' : serves === 'digest-only' ? ' (by digest alone)' : ' (by tag alone)'
}

function tlsText({ schemes, verifiesCertificates, certificates }: ExplainedEndpoint): string {
  const how = verifiesCertificates ? 'certificates are verified' : 'certificates are not verified'
  return `${schemes.join(', else ')}; ${how}${certificates === undefined ? '' : `, with those of ${certificates}`}`
}

function credentialText(credential: ExplainedEndpoint['credential']): string {
  if (credential === undefined) return 'none'
  const kind = { password: 'a password', 'identity-token': 'an identity token', 'registry-token': 'a bearer token' }[credential.kind]
  return `${kind}${credential.user === undefined ? '' : ` of ${credential.user}`}, from ${credential.from}`
}

function answerWith(credential: ExplainedEndpoint['credential']): string {
  switch (credential?.kind) {
    case 'password':
      return 'user and password, if it asks for Basic; else they are sent to the token server that it names, over https, for a token'
    case 'identity-token':
      return 'a token that the token server, which it names, gives for the identity token; the registry never sees that'
    case 'registry-token':
      return 'the bearer token, as it is'
    default:
      return 'a token for nobody in particular, if it names a token server'
  }
}

function fileLine({ path, state, key, helper }: ExplainedFile): string {
  switch (state) {
    case 'absent':
      return `${path}: is not there`
    case 'nothing':
      return `${path}: has nothing for it`
    case 'entry':
      return `${path}: has an entry ${key}`
    case 'helper':
      return `${path}: names docker-credential-${helper}, which is asked for ${key}`
  }
}

function policyLine(policy: Policy, { rule, requirements }: { readonly rule: string; readonly requirements: readonly string[] }): string {
  return policy.file === '' ? 'policy  there is none: anything may be used' : `policy  ${policy.file}, ${rule}: ${requirements.join(', ')}`
}
