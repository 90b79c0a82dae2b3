import { open } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'

/** A part of a file, streamed. */
export interface FileRange {
  readonly file: string
  readonly start: number
  readonly length: number
}

/** More at a time makes nothing faster. */
const partBytes = 256 * 1024
/** Those that wait for the next response. A stream of Node makes a new buffer for each part, and the collector comes late. */
const free: Buffer[] = []
const mostFree = 64

/**
 * Sends a part of a file as the rest of a response, which it ends. While one part is on its way the next is read.
 *
 * @throws where the file is shorter, or the client has gone
 */
export async function sendRange(response: ServerResponse, { file, start, length }: FileRange): Promise<void> {
  const handle = await open(file)
  const buffers = [take(), take()] as const
  let sending: Promise<void> = Promise.resolve()
  try {
    for (let at = 0, turn = 0; at < length; turn ^= 1) {
      const { bytesRead } = await handle.read(buffers[turn === 0 ? 0 : 1], 0, Math.min(partBytes, length - at), start + at)
      if (bytesRead === 0) throw new Error(`${file} is shorter than it was`)
      at += bytesRead
      await sending
      sending = send(response, buffers[turn === 0 ? 0 : 1].subarray(0, bytesRead))
      // It is awaited before the next one; a failure in between must not count as unhandled.
      sending.catch(() => {})
    }
    await sending
    response.end()
    for (const buffer of buffers) if (free.length < mostFree) free.push(buffer)
  } finally {
    await handle.close()
  }
}

function take(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(partBytes)
}

/** Settles when the kernel has all of it, so that the buffer is free. */
function send(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new Error('the client has gone'))
    // A response that was destroyed calls back nobody.
    if (response.destroyed) return gone()
    response.once('close', gone)
    response.write(bytes, (error) => {
      response.off('close', gone)
      if (error) reject(error)
      else resolve()
    })
  })
}
