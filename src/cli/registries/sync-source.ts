import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Context } from '#context.ts'
import { withFileErrors } from '#image/file.ts'
import type { ListedRegistry } from '#mirror/list.ts'
import { isNameOnly, parseRepository, type Wanted } from '#mirror/wanted.ts'
import { parseReference } from '#oci/reference.ts'
import type { RegistryChoices } from '../places.ts'
import type { Settings } from '../settings.ts'

/** A repository, with all its tags, or one image. */
export function typed(source: string): Wanted {
  if (isNameOnly(source)) return { repository: parseRepository(source), choice: { kind: 'all' } }
  const { registry, repository, tag, digest } = parseReference(source)
  return { repository: { registry, repository }, choice: { kind: 'names', names: [digest ?? tag!] } }
}

export async function readList(cx: Context, settings: Settings, path: string): Promise<readonly ListedRegistry[]> {
  const { parseList } = await import('#mirror/list.ts')
  const text = await withFileErrors(`read ${path}`, async () => readFileSync(resolve(settings.cwd, path), 'utf8'))
  const { registries, unknown } = parseList(text, path)
  for (const { key, line } of unknown)
    cx.report({ type: 'warning', message: `${key} means nothing`, file: path, ...(line !== undefined && { line }) })
  return registries
}

/** What a list says of a registry goes before the flags. */
export function choicesOf({ tlsVerify, certDir, credentials }: ListedRegistry, flags: RegistryChoices): RegistryChoices {
  return {
    ...flags,
    ...(tlsVerify !== undefined && { 'tls-verify': tlsVerify }),
    ...(certDir !== undefined && { 'cert-dir': certDir }),
    ...(credentials && { creds: `${credentials.username}:${credentials.password}` }),
  }
}
