import { expect, test } from 'vitest'
import { bufferBytes, finish, lend, release, takeBuffer } from './buffers.ts'

test('a buffer is used again once it is full and all of it has come back', () => {
  const buffer = takeBuffer()
  const first = buffer.subarray(0, 100)
  const second = buffer.subarray(100, bufferBytes)
  lend(first)
  lend(second)
  release(first)
  release(second)
  expect(takeBuffer().buffer, 'more may still be read into it').not.toBe(buffer.buffer)
  finish(buffer)
  expect(takeBuffer().buffer).toBe(buffer.buffer)
})

test('a buffer of which somebody holds a part is not used again', () => {
  const buffer = takeBuffer()
  const [held, returned] = [buffer.subarray(0, 10), buffer.subarray(10, 20)]
  lend(held)
  lend(returned)
  finish(buffer)
  release(returned)
  expect(takeBuffer().buffer).not.toBe(buffer.buffer)
  release(held)
  expect(takeBuffer().buffer).toBe(buffer.buffer)
})

test('bytes from elsewhere are left alone', () => {
  const foreign = new Uint8Array(bufferBytes)
  lend(foreign)
  finish(foreign)
  release(foreign)
  expect(takeBuffer().buffer).not.toBe(foreign.buffer)
})
