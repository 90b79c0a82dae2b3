import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import type { Bytes, Source } from './content.ts'
import { memory, type Memory } from './memory.ts'

/** New documents in memory, over the places that have the rest. It does not own these: disposing it leaves them open. */
export interface Overlay extends Source {
  readonly top: Memory
}

/**
 * Lays a new, empty place in memory over others. What no one was named for in `owners` comes from `below`.
 *
 * @param owners where content is, by digest
 */
export function overlay(title: string, owners: ReadonlyMap<Digest, Source>, below: Source | undefined): Overlay {
  const top = memory(title)
  const find = (what: Descriptor): Source | undefined => {
    if (top.blobs.has(what.digest)) return top
    const owner = owners.get(what.digest) ?? below
    return owner?.origin?.(what) ?? owner
  }
  return {
    title,
    top,
    resolve: (cx, name) => top.resolve(cx, name),
    async open(cx, what, from) {
      const owner = find(what)
      if (owner === undefined) throw new StaveError('blob-unknown', `cannot read ${what.digest}: it is not in ${title}`)
      return owner.open(cx, what, from)
    },
    origin: find,
    file: (what) => find(what)?.file?.(what),
    async [Symbol.asyncDispose]() {},
  }
}

/** Several places side by side: each thing comes from the first that has it. `undefined` for none at all. */
export function union(sources: readonly Source[]): Source | undefined {
  const distinct = [...new Set(sources)]
  if (distinct.length <= 1) return distinct[0]
  const title = distinct.map((source) => source.title).join(', ')
  const first = async <T>(cx: Context, ask: (source: Source) => Promise<T>): Promise<T> => {
    let failure: unknown
    for (const source of distinct) {
      cx.signal.throwIfAborted()
      try {
        return await ask(source)
      } catch (error) {
        if (!hasCode(error, 'blob-unknown', 'not-found')) throw error
        failure = error
      }
    }
    throw failure
  }
  return {
    title,
    resolve: (cx, name) => first(cx, (source) => source.resolve(cx, name)),
    open: (cx, what, from): Promise<Bytes> => first(cx, (source) => source.open(cx, what, from)),
    async [Symbol.asyncDispose]() {},
  }
}
