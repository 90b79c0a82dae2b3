import type { Bytes } from '#image/content.ts'

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'

/** A body that is read once, of known length. */
export interface StreamBody {
  readonly bytes: Bytes
  readonly length: number
}

/** Header fields, in lower case. */
export type Headers = Readonly<Record<string, string | undefined>>

/** What came back. The body must be read, discarded or aborted, or the connection stays taken. */
export interface Response {
  readonly method: Method
  /** Where the answer came from, after redirects. */
  readonly url: URL
  readonly status: number
  readonly headers: Headers
  readonly body: ResponseBody
}

export interface ResponseBody extends AsyncIterable<Uint8Array> {
  /** Reads the rest and drops it, so that the connection can be used again; a long rest closes the connection. */
  discard(): Promise<void>
}

/** Reads a body of at most `limit` bytes into memory of its own; undefined when it is longer. */
export async function readAll(body: ResponseBody, limit: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > limit) return undefined
    chunks.push(chunk)
  }
  // Copied even when it is one: a few bytes would hold the whole buffer that they came in.
  return Buffer.concat(chunks, size)
}

/** A body that is in memory already. */
export function bodyOfBytes(bytes: Uint8Array): ResponseBody {
  return {
    discard: async () => {},
    async *[Symbol.asyncIterator]() {
      if (bytes.length > 0) yield bytes
    },
  }
}
