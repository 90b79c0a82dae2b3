import { abortedError } from '#context.ts'
import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { release } from '#image/buffers.ts'
import type { Bytes } from '#image/content.ts'
import { socketBytes } from './connection.ts'
import type { Method, StreamBody, Headers, Response, ResponseBody } from './message.ts'

export interface Exchange {
  readonly method: Method
  readonly url: URL
  readonly headers: Record<string, string>
  readonly body?: Uint8Array | StreamBody
  readonly signal: AbortSignal
  /** How long to wait for the status line after the request was sent, and between two parts of the body. */
  readonly headersTimeoutMs: number
  readonly bodyTimeoutMs: number
}

/** How much of a response is held for a consumer that is slower than the network. */
const highWaterBytes = 1024 * 1024
const discardBytes = 128 * 1024

/** One request and its response: no retry, no redirect, no credentials. Fails as undici and the socket do. */
export function exchange(dispatcher: Dispatcher, request: Exchange): Promise<Response> {
  const { signal, url, method } = request
  if (signal.aborted) return Promise.reject(abortedError(signal))
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined
    let incoming: Incoming | undefined
    let over = false
    const abort = () => {
      const reason = abortedError(signal)
      controller?.abort(reason)
      if (controller === undefined) reject(reason)
    }
    const done = () => {
      over = true
      signal.removeEventListener('abort', abort)
    }
    signal.addEventListener('abort', abort)
    dispatcher.dispatch(
      {
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: bodyHeaders(request),
        body: bodyOf(request.body),
        headersTimeout: request.headersTimeoutMs,
        bodyTimeout: request.bodyTimeoutMs,
        // After HEAD undici closes the connection unless told otherwise: some servers send a body. Go's clients do not, and
        // what comes is verified. To open one again costs a round trip, and two more with TLS.
        ...(method === 'HEAD' ? { reset: false } : {}),
      },
      {
        onRequestStart(started) {
          controller = started
          if (signal.aborted) started.abort(abortedError(signal))
        },
        onResponseStart(current, status, headers) {
          if (status < 200) return
          incoming = createIncoming(current, () => over)
          resolve({ method, url, status, headers: flatten(headers), body: incoming })
        },
        onResponseData(_, chunk) {
          incoming?.push(chunk)
        },
        onResponseEnd() {
          done()
          incoming?.end()
        },
        onResponseError(_, error) {
          done()
          if (incoming === undefined) reject(error)
          else incoming.fail(error)
        },
      },
    )
  })
}

interface Incoming extends ResponseBody {
  push(chunk: Uint8Array): void
  end(): void
  fail(error: unknown): void
}

/** A response on its way from the socket to its reader. */
interface Arrival {
  readonly controller: Dispatcher.DispatchController
  /** Whether the exchange has ended, so that there is nothing left to abort. */
  readonly isOver: () => boolean
  readonly queue: Uint8Array[]
  queued: number
  paused: boolean
  ended: boolean
  failure: { readonly error: unknown } | undefined
  /** Called when there is something new for a reader that waits. */
  wake: (() => void) | undefined
}

// undici's own Readable works too; this is the same without a stream's bookkeeping for each chunk.
function createIncoming(controller: Dispatcher.DispatchController, isOver: () => boolean): Incoming {
  const arrival: Arrival = {
    controller,
    isOver,
    queue: [],
    queued: 0,
    paused: false,
    ended: false,
    failure: undefined,
    wake: undefined,
  }
  return {
    push: (chunk) => enqueue(arrival, chunk),
    end() {
      arrival.ended = true
      wakeReader(arrival)
    },
    fail(error) {
      arrival.failure = { error }
      wakeReader(arrival)
    },
    discard: () => discardRest(arrival),
    [Symbol.asyncIterator]: () => ({
      async next() {
        const value = await nextChunk(arrival)
        return value === undefined ? { done: true, value: undefined } : { done: false, value }
      },
      async return() {
        stop(arrival)
        return { done: true, value: undefined }
      },
    }),
  }
}

function enqueue(arrival: Arrival, chunk: Uint8Array): void {
  if (arrival.ended) return
  arrival.queue.push(chunk)
  arrival.queued += chunk.length
  if (arrival.queued > highWaterBytes && !arrival.paused) {
    arrival.paused = true
    arrival.controller.pause()
  }
  wakeReader(arrival)
}

function wakeReader(arrival: Arrival): void {
  const waiting = arrival.wake
  arrival.wake = undefined
  waiting?.()
}

async function nextChunk(arrival: Arrival): Promise<Uint8Array | undefined> {
  for (;;) {
    const chunk = arrival.queue.shift()
    if (chunk !== undefined) {
      arrival.queued -= chunk.length
      if (arrival.paused && arrival.queued < highWaterBytes / 2) {
        arrival.paused = false
        arrival.controller.resume()
      }
      return chunk
    }
    if (arrival.failure !== undefined) throw arrival.failure.error
    if (arrival.ended) return undefined
    await new Promise<void>((resolve) => {
      arrival.wake = resolve
    })
  }
}

async function discardRest(arrival: Arrival): Promise<void> {
  try {
    let size = 0
    for (;;) {
      const chunk = await nextChunk(arrival)
      if (chunk === undefined) return
      size += chunk.length
      release(chunk)
      if (size > discardBytes) return stop(arrival)
    }
  } catch {
    // What was not wanted may also break.
  }
}

function stop(arrival: Arrival): void {
  arrival.ended = true
  arrival.queue.length = 0
  if (!arrival.isOver()) arrival.controller.abort(new Error('the rest of the response was not wanted'))
}

function bodyHeaders({ headers, body }: Exchange): Record<string, string> {
  if (body === undefined || body instanceof Uint8Array) return headers
  return { ...headers, 'content-length': String(body.length) }
}

function bodyOf(body: Uint8Array | StreamBody | undefined): Uint8Array | Readable | null {
  if (body === undefined) return null
  if (body instanceof Uint8Array) return body
  // undici takes any async iterable; its type names only Node's stream.
  return givenBack(body.bytes) as unknown as Readable
}

/** Gives back what was sent. After a piece that fills the socket, undici asks for the next one when all is in the kernel. */
async function* givenBack(bytes: Bytes): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of bytes) {
    yield chunk
    if (chunk.length >= socketBytes) release(chunk)
  }
}

function flatten(headers: Readonly<Record<string, string | readonly string[] | undefined>>): Headers {
  const flat: Record<string, string | undefined> = Object.create(null)
  for (const [name, value] of Object.entries(headers)) flat[name.toLowerCase()] = typeof value === 'string' ? value : value?.join(', ')
  return flat
}
