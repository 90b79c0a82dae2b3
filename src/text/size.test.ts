import { expect, test } from 'vitest'
import { parseBytes, readBytes } from './size.ts'

test('sizes', () => {
  expect(['1', '1k', '1KB', '1KiB', '1.5g', '2 m', '1b'].map(readBytes)).toEqual([1, 1024, 1024, 1024, 1.5 * 1024 ** 3, 2 * 1024 ** 2, 1])
  expect(['', 'x', '-1', '1x', '1 k b', '9999999p'].map(readBytes)).toEqual(Array.from({ length: 6 }, () => undefined))
})

test('what is no size, and what is more than a number can count, are told apart', () => {
  expect(() => parseBytes('1x', '--memory')).toThrow('cannot read --memory "1x": expected a number and a unit such as k, m or g')
  expect(() => parseBytes('9999999p')).toThrow('cannot use size "9999999p": it is too large')
})
