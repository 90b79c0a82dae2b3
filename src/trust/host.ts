import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { StaveError } from '#error.ts'
import { fileError, readWholeFile } from '#image/file.ts'
import * as limit from '#limit.ts'
import type { Means } from './check.ts'
import type { Ask, Lookasides } from './lookaside.ts'
import { acceptAnything, parsePolicy, type Policy } from './policy.ts'

export interface TrustPaths {
  /** The first that exists is read. */
  readonly policies: readonly string[]
  /** The policy was named: it must be there. */
  readonly isNamed: boolean
  readonly registriesD: readonly string[]
}

/** @see containers-policy.json(5), "FILES"; containers-registries.d(5), "FILES" */
export function defaultTrustPaths(
  environment: Readonly<Record<string, string | undefined>>,
  user: { readonly home: string },
  named: { readonly policy?: string; readonly registriesD?: string } = {},
): TrustPaths {
  const config = join(environment['XDG_CONFIG_HOME'] || join(user.home, '.config'), 'containers')
  return {
    policies: named.policy === undefined ? [join(config, 'policy.json'), '/etc/containers/policy.json'] : [named.policy],
    isNamed: named.policy !== undefined,
    registriesD:
      named.registriesD === undefined
        ? [join(config, 'registries.d'), '/etc/containers/registries.d'].filter((path) => existsSync(path)).slice(0, 1)
        : [named.registriesD],
  }
}

/** The policy of this machine. Without a file anything is accepted, as with docker. @throws StaveError */
export async function readPolicy({ policies, isNamed }: TrustPaths): Promise<Policy> {
  const file = policies.find((path) => existsSync(path))
  if (file === undefined) {
    if (!isNamed) return acceptAnything
    throw new StaveError('not-found', `cannot read the policy ${policies[0]}: there is no such file`)
  }
  try {
    return parsePolicy(await readWholeFile(file, limit.jsonBytes), file)
  } catch (error) {
    throw fileError(error, `read the policy ${file}`)
  }
}

/** The means of a check on this machine. Files are read when they are needed first. */
export function trustMeans(paths: TrustPaths, ask: Ask): Means {
  let lookasides: Promise<Lookasides> | undefined
  return {
    async readMaterial(material) {
      if ('data' in material) return material.data
      try {
        return await readWholeFile(material.path, limit.jsonBytes)
      } catch (error) {
        throw fileError(error, `read ${material.path}, which the policy names`)
      }
    },
    async lookaside(cx, reference, digest) {
      const { lookasideFor, readLookasides, readSignatures } = await import('./lookaside.ts')
      lookasides ??= readLookasides(paths.registriesD)
      const { read } = lookasideFor(await lookasides, reference)
      return read === undefined ? [] : readSignatures(cx, read, reference, digest, ask)
    },
    now: () => Date.now(),
  }
}
