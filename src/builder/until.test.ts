import { expect, test } from 'vitest'
import { parseDockerfile } from '#dockerfile/parse.ts'
import { cutAt } from './until.ts'

const dockerfile = parseDockerfile('FROM a AS one\nRUN 1\nRUN 2\nFROM b\nRUN 3\nRUN 4\nFROM c AS three\n', { file: 'Dockerfile' })
const shape = (until: string): unknown => {
  const cut = cutAt(dockerfile, until)
  return [cut.target, cut.dockerfile.stages.map(({ instructions }) => instructions.map(({ text }) => text))]
}

test('a stage, by name', () => {
  expect(shape('ONE')).toEqual(['one', [['RUN 1', 'RUN 2']]])
})

test('a line: what begins there is the last', () => {
  expect(shape('5')).toEqual(['stage-1', [['RUN 1', 'RUN 2'], ['RUN 3']]])
  expect(shape('4')).toEqual(['stage-1', [['RUN 1', 'RUN 2'], []]])
})

test('neither', () => {
  expect(() => cutAt(dockerfile, 'nope')).toThrow(expect.objectContaining({ code: 'usage', hint: 'The stages are one, three.' }))
  expect(() => cutAt(dockerfile, '0')).toThrow()
})
