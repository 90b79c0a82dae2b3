import type { Socket } from 'node:net'
import { getCACertificates } from 'node:tls'
import type { Dispatcher } from 'undici'
import { bufferBytes, finish, lend, takeBuffer } from '#image/buffers.ts'
import type { Certificates } from './certificates.ts'
import { lookup } from './reach.ts'

export interface ConnectionSettings {
  readonly verify: boolean
  /** The authorities that are trusted for everybody. Undefined: those that Node brings. */
  readonly authorities: readonly string[] | undefined
  readonly certificates: Certificates
  readonly proxy: string | undefined
}

/**
 * The connections to one host. Each request has its connection, which is kept for the next one. Requests are not
 * pipelined: a blob before them would hold them up, and 2000 HEADs, 16 at a time, to distribution 2.8 on loopback took
 * as long with it (about 400 a second; the server is the limit).
 */
export async function openDispatcher(settings: ConnectionSettings): Promise<Dispatcher> {
  const { verify, certificates, proxy } = settings
  const tls = {
    rejectUnauthorized: verify,
    ...(certificates.authorities.length > 0 || settings.authorities !== undefined ? { ca: authorities(settings) } : {}),
    ...(certificates.client !== undefined && { cert: certificates.client.certificate, key: certificates.client.key }),
  }
  const options = {
    // One HTTP/2 connection would share one TCP window between all blobs.
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: 15_000,
    keepAliveMaxTimeout: 60_000,
    maxHeaderSize: 64 * 1024,
  }
  if (proxy !== undefined) {
    const { ProxyAgent } = await import('undici')
    return new ProxyAgent({ uri: proxy, requestTls: tls, ...options })
  }
  const { default: Agent } = await import('undici/lib/dispatcher/agent.js')
  return new Agent({ ...options, connect: { timeout: 15_000, autoSelectFamily: true, lookup, ...tls, ...largeReads() } })
}

/** A socket takes so much before it lets its writer wait. */
export const socketBytes = 64 * 1024
/** Less room than this in a buffer is not worth a read: a socket may have more by then. */
const leastRoom = 64 * 1024

/** Has the sockets read into buffers that are used again, and much at a time: see `image/buffers.ts`. */
function largeReads() {
  // What is left of the buffer that was read into last. Node asks for the next one right after each read.
  let rest: Uint8Array | undefined
  return {
    // undici names a size for both ways, which goes before these two.
    highWaterMark: undefined,
    readableHighWaterMark: bufferBytes,
    writableHighWaterMark: socketBytes,
    onread: {
      buffer() {
        const next = rest ?? takeBuffer()
        rest = undefined
        return next
      },
      callback(this: Socket, size: number, buffer: Uint8Array): boolean {
        const bytes = buffer.subarray(0, size)
        lend(bytes)
        const goesOn = this.push(bytes)
        if (buffer.length - size >= leastRoom) rest = buffer.subarray(size)
        else finish(buffer)
        return goesOn
      },
    },
  }
}

// Naming any authority replaces Node's own list, so that is named too.
function authorities(settings: ConnectionSettings): string[] {
  return [...(settings.authorities ?? getCACertificates('default')), ...settings.certificates.authorities]
}
