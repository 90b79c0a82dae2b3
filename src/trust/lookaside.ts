import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import { fileError, readWholeFile } from '#image/file.ts'
import * as limit from '#limit.ts'
import { digestAlgorithm, digestHex, type Digest } from '#oci/digest.ts'
import type { Reference } from '#oci/reference.ts'
import type { openYaml } from '#text/yaml.ts'

/** Where signatures are kept that are not in the registry itself. @see containers-registries.d(5) */
export interface Lookaside {
  /** Of an image's repository: the narrowest entry counts. */
  readonly read: string | undefined
  readonly write: string | undefined
  /** Signatures of sigstore are read from, and written to, the registry. */
  readonly useAttachments: boolean | undefined
}

interface Entry {
  readonly read?: string
  readonly write?: string
  readonly useAttachments?: boolean
}

/** What `registries.d` says, by scope; `''` is the default. */
export type Lookasides = ReadonlyMap<string, Entry>

/**
 * Reads the `*.yaml` of directories. A scope may stand in one of them only.
 *
 * @throws StaveError `invalid-document`
 */
export async function readLookasides(directories: readonly string[]): Promise<Lookasides> {
  const found = new Map<string, Entry>()
  for (const directory of directories) {
    const names = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith('.yaml')).sort()
    for (const name of names) {
      const file = join(directory, name)
      const text = (
        await readWholeFile(file, limit.jsonBytes).catch((error: unknown) => Promise.reject(fileError(error, `read ${file}`) as Error))
      ).toString()
      const { openYaml } = await import('#text/yaml.ts')
      for (const [scope, entry] of entriesOf(openYaml(text, file))) {
        if (found.has(scope))
          throw new StaveError('invalid-document', `cannot read ${file}: ${scope || 'default-docker'} stands in another file too`)
        found.set(scope, entry)
      }
    }
  }
  return found
}

function entriesOf(yaml: ReturnType<typeof openYaml>): readonly (readonly [string, Entry])[] {
  const entry = (path: readonly string[], value: unknown): Entry => {
    const given = new Map(yaml.map(path, value))
    const textOf = (...names: readonly string[]): string | undefined =>
      names.map((name) => yaml.text([...path, name], given.get(name))).find((each) => each !== '')
    const [read, write] = [textOf('lookaside', 'sigstore'), textOf('lookaside-staging', 'sigstore-staging')]
    const useAttachments = yaml.boolean([...path, 'use-sigstore-attachments'], given.get('use-sigstore-attachments'))
    return { ...(read && { read }), ...(write && { write }), ...(useAttachments !== undefined && { useAttachments }) }
  }
  const root = new Map(yaml.map([], yaml.value))
  const scoped = yaml.map(['docker'], root.get('docker')).map(([scope, value]) => [scope, entry(['docker', scope], value)] as const)
  return root.has('default-docker') ? [['', entry(['default-docker'], root.get('default-docker'))], ...scoped] : scoped
}

/** What counts for an image: each setting is that of the narrowest scope that has it. */
export function lookasideFor(lookasides: Lookasides, { registry, repository }: Reference): Lookaside {
  const parts = repository.split('/')
  const scopes = [...parts.map((_, at) => `${registry}/${parts.slice(0, parts.length - at).join('/')}`), registry, '']
  const entries = scopes.flatMap((scope) => lookasides.get(scope) ?? [])
  const read = entries.find((entry) => entry.read !== undefined)?.read
  const write = entries.find((entry) => entry.write !== undefined)?.write ?? read
  return { read, write, useAttachments: entries.find((entry) => entry.useAttachments !== undefined)?.useAttachments }
}

/** Asks a URL of a lookaside. @returns undefined if there is nothing */
export type Ask = (cx: Context, url: string) => Promise<Uint8Array | undefined>

/** Signatures of a manifest below a lookaside, in their order: `…/signature-1` and so on, to the first that is not there. */
export async function readSignatures(
  cx: Context,
  base: string,
  reference: Reference,
  digest: Digest,
  ask: Ask,
): Promise<readonly Uint8Array[]> {
  const directory = `${base.replace(/\/+$/, '')}/${pathOf(reference, digest)}`
  const found: Uint8Array[] = []
  while (found.length < limit.signatures) {
    const url = `${directory}/signature-${found.length + 1}`
    const bytes = url.startsWith('file:') ? await readFile(fileURLToPath(url)) : await ask(cx, url)
    if (bytes === undefined) return found
    found.push(bytes)
  }
  return found
}

/** The registry is in the configuration that leads there, and not in the path. @see containers-registries.d(5) */
export function pathOf({ repository }: Reference, digest: Digest): string {
  return `${repository}@${digestAlgorithm(digest)}=${digestHex(digest)}`
}

async function readFile(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readWholeFile(path, limit.signatureBytes)
  } catch (error) {
    const found = fileError(error, `read ${path}`)
    if (hasCode(found, 'not-found')) return undefined
    throw found
  }
}
