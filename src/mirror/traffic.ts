import type { Target } from '#image/content.ts'
import type { Digest } from '#oci/digest.ts'
import type { Registry } from '#registry/client/registry.ts'

/** What is on its way into one registry, and what arrived. */
export interface Traffic {
  readonly underway: Map<Digest, { readonly registry: Registry; readonly arrival: Promise<void> }>
  /** In which repository content is by now. */
  readonly holders: Map<Digest, Registry>
}

export function openTraffic(): Traffic {
  return { underway: new Map(), holders: new Map() }
}

/**
 * A repository that several copies write at the same time, beside other repositories of the registry: what is on its way
 * into any of them is waited for, and taken over from there. So each blob moves once into a registry.
 */
export function sharing(registry: Registry, { underway, holders }: Traffic): Target {
  const note = (digest: Digest): void => {
    if (!holders.has(digest)) holders.set(digest, registry)
  }
  /** A failure is its own copy's; this one tries again. */
  const settle = async (digest: Digest, isOurs: (other: Registry) => boolean): Promise<void> => {
    for (let other = underway.get(digest); other !== undefined && isOurs(other.registry); other = underway.get(digest))
      await other.arrival.catch(() => {})
  }
  return {
    ...registry,
    async has(cx, what) {
      await settle(what.digest, (other) => other === registry)
      const found = await registry.has(cx, what)
      if (found) note(what.digest)
      return found
    },
    async adopt(cx, what, from) {
      if (underway.get(what.digest)?.registry === registry) return false
      await settle(what.digest, (other) => other !== registry)
      const holder = holders.get(what.digest)
      if (holder !== undefined && holder !== registry && (await registry.adopt(cx, what, holder))) return true
      if (underway.get(what.digest)?.registry === registry) return false
      if (!(await registry.adopt(cx, what, from))) return false
      note(what.digest)
      return true
    },
    async transfer(cx, what, open) {
      for (let other = underway.get(what.digest); other !== undefined; other = underway.get(what.digest)) {
        const isThere = await other.arrival.then(
          () => true,
          () => false,
        )
        if (isThere && (other.registry === registry || (await registry.adopt(cx, what, other.registry)))) return
      }
      const arrival = registry.transfer(cx, what, open)
      underway.set(what.digest, { registry, arrival })
      try {
        await arrival
        note(what.digest)
      } finally {
        underway.delete(what.digest)
      }
    },
  }
}
