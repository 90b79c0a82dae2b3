import { describe, expect, test } from 'vitest'
import { absentCreateFlags } from './absent-flags.ts'
import { createFlags } from './create-flags.ts'
import { peerFlags } from './run-flags.ts'

describe('every flag of docker run and podman run', () => {
  test('has a row: it works, is accepted, or is refused with what to do instead', () => {
    expect(peerFlags().filter((flag) => typeof flag === 'string')).toEqual([])
  })

  test('is not refused where it is there', () => {
    expect(Object.keys(absentCreateFlags).filter((name) => name.slice(2) in createFlags)).toEqual([])
  })
})
