import { expect, test } from 'vitest'
import { withStep } from './step.ts'
import { recording } from './testing.ts'

const name = { id: 'a', title: 'doing a', parent: 'all' }
const states = ({ events }: ReturnType<typeof recording>) => events.map((event) => (event.type === 'step' ? event.state : event.type))

test('a step is announced, and over with its outcome and how long it took', async () => {
  const cx = recording()
  expect(await withStep(cx, name, async () => 3)).toBe(3)
  expect(
    await withStep(
      cx,
      name,
      async () => 'x',
      (detail) => ({ state: 'cached', detail }),
    ),
  ).toBe('x')
  expect(states(cx)).toEqual(['started', 'done', 'started', 'cached'])
  expect(cx.events[3]).toMatchObject({ ...name, detail: 'x', durationMs: expect.any(Number) })
})

test('a failure ends the step and is thrown as it is', async () => {
  const cx = recording()
  const error = new Error('no')
  await expect(withStep(cx, name, () => Promise.reject(error))).rejects.toBe(error)
  expect(states(cx)).toEqual(['started', 'failed'])
})

test('what fails since it was cancelled was cancelled', async () => {
  const abort = new AbortController()
  const cx = recording(abort.signal)
  const work = async () => {
    abort.abort(new Error('enough'))
    abort.signal.throwIfAborted()
  }
  await expect(withStep(cx, name, work)).rejects.toThrow('enough')
  expect(states(cx)).toEqual(['started', 'cancelled'])
})
