/**
 * Buffers that the network is read into, and that are used again: a fresh one for each read costs more than the read
 * (its pages are new to the process, and a collection has to find that nobody needs it any more).
 *
 * Who reads counts what it hands on ({@link lend}) and says when it will put no more into a buffer ({@link finish});
 * who has used bytes for the last time says so ({@link release}). A buffer of which all bytes came back is used again.
 * What nobody gives back is an ordinary buffer, which goes when it is collected.
 */

/** The size of such a buffer, in bytes: more at once is no quicker, and each of 32 streams holds some. */
export const bufferBytes = 256 * 1024
/** Buffers that are kept for their next use. */
const mostFree = 64

interface Loan {
  /** Bytes that were handed on, and those that came back. */
  lent: number
  returned: number
  isFinished: boolean
}

const free: ArrayBufferLike[] = []
const loans = new WeakMap<ArrayBufferLike, Loan>()

/** A buffer to read into. */
export function takeBuffer(): Uint8Array {
  const memory = free.pop() ?? new ArrayBuffer(bufferBytes)
  loans.set(memory, { lent: 0, returned: 0, isFinished: false })
  return new Uint8Array(memory)
}

/** Counts bytes of a buffer as handed on: they come back by {@link release}, once. */
export function lend(bytes: Uint8Array): void {
  const loan = loans.get(bytes.buffer)
  if (loan !== undefined) loan.lent += bytes.length
}

/** No more is read into the buffer that this is a part of. */
export function finish(bytes: Uint8Array): void {
  const loan = loans.get(bytes.buffer)
  if (loan === undefined) return
  loan.isFinished = true
  takeBack(bytes.buffer, loan)
}

/** These bytes are not looked at again by anybody. Bytes that were not lent are left alone. */
export function release(bytes: Uint8Array): void {
  const loan = loans.get(bytes.buffer)
  if (loan === undefined) return
  loan.returned += bytes.length
  takeBack(bytes.buffer, loan)
}

function takeBack(memory: ArrayBufferLike, loan: Loan): void {
  if (!loan.isFinished || loan.returned !== loan.lent) return
  loans.delete(memory)
  if (free.length < mostFree) free.push(memory)
}
