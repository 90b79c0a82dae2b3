import { expect, test } from 'vitest'
import type { Command } from './command.ts'
import { commandNamed, commands, findCommand } from './commands.ts'

const withParts = (list: readonly Command[]): Command[] => list.flatMap((command) => [command, ...withParts(command.commands ?? [])])

test('every command, and every word of a group, means one command', () => {
  const names = withParts(commands).map(({ name }) => name)
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
  for (const list of [commands, ...withParts(commands).map((command) => command.commands ?? [])])
    for (const command of list) for (const word of command.aliases ?? []) expect(findCommand(list, word), word).toBe(command)
})

test('a sub-command is named by its whole path', () => {
  for (const group of commands) {
    for (const { name } of group.commands ?? []) {
      expect(name).toMatch(new RegExp(`^${group.name} [a-z-]+$`))
      expect(commandNamed(name)?.name).toBe(name)
    }
  }
  expect(commandNamed('volume nothing')).toBeUndefined()
})
