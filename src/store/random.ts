import { closeSync, openSync, readSync } from 'node:fs'

/**
 * Random bytes in hexadecimal digits. They are read from the kernel because the first use of `node:crypto` takes
 * longer than all else that starting a container does here.
 */
export function randomHex(bytes: number): string {
  return randomBuffer(bytes).toString('hex')
}

/** A whole number from 0 to below `limit`, which is small: of 32 bits, so all are as likely as makes no difference. */
export function randomBelow(limit: number): number {
  return randomBuffer(4).readUInt32LE() % limit
}

function randomBuffer(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  const file = openSync('/dev/urandom', 'r')
  try {
    // The device never gives less than was asked for, up to 256 bytes (random(4)).
    readSync(file, buffer)
  } finally {
    closeSync(file)
  }
  return buffer
}
