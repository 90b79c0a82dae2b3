import { expect, test } from 'vitest'
import { createGate } from './gate.ts'

test('no more than there are places for are in at once, and the next comes when one leaves', async () => {
  const gate = createGate(2)
  const inside: string[] = []
  const enter = async (name: string): Promise<() => void> => {
    const leave = await gate.enter()
    inside.push(name)
    return leave
  }
  const first = await enter('first')
  await enter('second')
  const third = enter('third')
  await new Promise(setImmediate)
  expect(inside).toEqual(['first', 'second'])
  first()
  await third
  expect(inside).toEqual(['first', 'second', 'third'])
})

test('who is called off while waiting takes no place', async () => {
  const gate = createGate(1)
  const leave = await gate.enter()
  const abort = new AbortController()
  const waiting = gate.enter(abort.signal)
  abort.abort(new Error('called off'))
  await expect(waiting).rejects.toThrow('called off')
  leave()
  await gate.enter()
})
