import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Context } from '#context.ts'
import { hasCode } from '#error.ts'
import { parseReference } from '#oci/reference.ts'
import type { Origin } from '#trust/scope.ts'
import type { Location } from '#places/location.ts'
import type { Guard } from '#places/places.ts'
import type { Settings } from '../settings.ts'

/** What flags say of the policy. */
export interface TrustChoices {
  readonly 'signature-policy'?: string | undefined
  readonly 'insecure-policy'?: boolean | undefined
  readonly 'registries.d'?: string | undefined
}

/** The policy of this machine. Where there is none, nothing is loaded for it. @throws StaveError */
export async function openGuard(choices: TrustChoices, settings: Settings): Promise<Guard | undefined> {
  if (choices['insecure-policy']) return undefined
  const host = await import('#trust/host.ts')
  const named = {
    ...(choices['signature-policy'] !== undefined && { policy: resolve(settings.cwd, choices['signature-policy']) }),
    ...(choices['registries.d'] !== undefined && { registriesD: resolve(settings.cwd, choices['registries.d']) }),
  }
  const paths = host.defaultTrustPaths(settings.env, settings, named)
  if (!paths.isNamed && !paths.policies.some((path) => existsSync(path))) return undefined
  const [policy, { trusted }, { pathScopes, referenceScopes }] = await Promise.all([
    host.readPolicy(paths),
    import('#trust/source.ts'),
    import('#trust/scope.ts'),
  ])
  const means = host.trustMeans(paths, askLookaside(settings))
  const originOf = (location: Location): Origin => {
    // What is in the store was let in: nobody asks about it, but about images of a Docker daemon.
    if (location.transport === 'store') {
      const { name } = location
      return { transport: 'docker-daemon', scopes: isImageId(name) ? [name] : referenceScopes(parseReference(name)) }
    }
    if (location.transport === 'docker') return { transport: 'docker', reference: parseReference(location.name) }
    const name = 'name' in location ? location.name : undefined
    return { transport: location.transport, scopes: pathScopes(resolve(settings.cwd, location.path), name) }
  }
  return (source, location) => trusted(source, policy, originOf(location), means)
}

function isImageId(name: string): boolean {
  return /^(?:sha256:)?[0-9a-f]{12,64}$/.test(name)
}

/** Signatures that are kept on a web server. */
export function askLookaside(settings: Settings): (cx: Context, url: string) => Promise<Uint8Array | undefined> {
  return async (cx, url) => {
    const [{ get }, limit] = await Promise.all([import('#builder/input/http.ts'), import('#limit.ts')])
    const proxy = Object.fromEntries(
      Object.entries(settings.env).filter(([name, value]) => /_proxy$/i.test(name) && value !== undefined),
    ) as Record<string, string>
    const answer = await get(cx, { url, proxy }).catch((error: unknown) => {
      if (hasCode(error, 'not-found')) return undefined
      throw error
    })
    if (answer === undefined || answer.status !== 200) {
      await answer?.discard()
      return undefined
    }
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of answer.body) {
      size += chunk.length
      if (size > limit.signatureBytes) break
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }
}
