import { describe, expect, test } from 'vitest'
import { heredocWord, stripTabs } from './heredoc.ts'
import type { Instruction } from './instruction.ts'
import { parseDockerfile } from './parse.ts'
import { runCommand } from './run.ts'

const body = (text: string): readonly Instruction[] => parseDockerfile(`FROM x\n${text}`, { file: 'D' }).stages[0]?.instructions ?? []
const shell = ['/bin/sh', '-c']

describe('the word', () => {
  test.each<[string, ReturnType<typeof heredocWord>]>([
    ['<<EOF', { name: 'EOF', fd: 0, chomp: false, expand: true }],
    ['<<-EOF', { name: 'EOF', fd: 0, chomp: true, expand: true }],
    ['<<"EOF"', { name: 'EOF', fd: 0, chomp: false, expand: false }],
    ["<<'EOF'", { name: 'EOF', fd: 0, chomp: false, expand: false }],
    ["<<-'EOF'", { name: 'EOF', fd: 0, chomp: true, expand: false }],
    ['<<E"O"F', { name: 'EOF', fd: 0, chomp: false, expand: false }],
    ['<<E\\OF', { name: 'EOF', fd: 0, chomp: false, expand: true }],
    ['<< EOF', { name: 'EOF', fd: 0, chomp: false, expand: true }],
    ['<<-\tEOF', { name: 'EOF', fd: 0, chomp: true, expand: true }],
    ['3<<EOF', { name: 'EOF', fd: 3, chomp: false, expand: true }],
    ['12<<-EOF', { name: 'EOF', fd: 12, chomp: true, expand: true }],
    ['<<"E O F"', { name: 'E O F', fd: 0, chomp: false, expand: false }],
    ['<<E\\ F', { name: 'E F', fd: 0, chomp: false, expand: true }],
    ['<<$X', { name: '$X', fd: 0, chomp: false, expand: true }],
    ['<<`', { name: '`', fd: 0, chomp: false, expand: true }],
    ['1<<2', { name: '2', fd: 1, chomp: false, expand: true }],
    ['<<', undefined],
    ['<<-', undefined],
    ['<<""', undefined],
    ['<<<EOF', undefined],
    ['<<E<F', undefined],
    ['<<E F', undefined],
    ['"<<EOF"', undefined],
    ['a<<EOF', undefined],
    ['<EOF', undefined],
    ['<<"EOF', undefined],
  ])('%s', (word, expected) => {
    expect(heredocWord(word)).toEqual(expected)
  })

  test('tabs are stripped from each line, and only leading ones', () => {
    expect(stripTabs('\t\ta\tb\n\tc\n  \td\n\n\t\n')).toBe('a\tb\nc\n  \td\n\n\n')
  })
})

describe('in a file', () => {
  test.each<[string, string, object]>([
    ['a body', 'RUN <<EOF\na\nb\nEOF\n', { heredocs: [{ name: 'EOF', content: 'a\nb\n' }] }],
    ['an empty body', 'RUN <<EOF\nEOF\n', { heredocs: [{ content: '' }] }],
    [
      'no continuation, comment or instruction inside',
      'RUN <<EOF\na \\\n# b\nFROM c\n\nEOF',
      { heredocs: [{ content: 'a \\\n# b\nFROM c\n\n' }] },
    ],
    ['CRLF of the body is kept', 'RUN <<EOF\r\na\r\nEOF\r\n', { heredocs: [{ content: 'a\r\n' }] }],
    ['a terminator with a blank is none', 'RUN <<EOF\nEOF \nEOF', { heredocs: [{ content: 'EOF \n' }] }],
    ['an indented terminator is none', 'RUN <<EOF\n\tEOF\nEOF', { heredocs: [{ content: '\tEOF\n' }] }],
    ['with a dash it is one', 'RUN <<-EOF\n\ta\n\tEOF', { heredocs: [{ content: 'a\n', raw: '\ta\n' }] }],
    ['with a dash blanks do not count', 'RUN <<-EOF\n  a\n EOF\nEOF', { heredocs: [{ content: '  a\n EOF\n' }] }],
    ['two, in order', 'RUN cat <<A <<B\n1\nA\n2\nB', { heredocs: [{ content: '1\n' }, { content: '2\n' }] }],
    ['a name inside the other body', 'RUN cat <<A <<B\nB\nA\nA\nB', { heredocs: [{ content: 'B\n' }, { content: 'A\n' }] }],
    ['the start after a continuation', 'RUN cat \\\n <<A\n1\nA', { heredocs: [{ content: '1\n' }] }],
    [
      'COPY with two',
      'COPY <<a <<-"b" /x/\n1\na\n\t$2\nb',
      {
        sources: [],
        destination: '/x/',
        heredocs: [
          { name: 'a', content: '1\n', expand: true },
          { name: 'b', content: '$2\n', expand: false },
        ],
      },
    ],
    ['COPY with files', 'COPY f <<a g /x/\n1\na', { sources: ['f', 'g'], heredocs: [{ name: 'a' }] }],
    ['COPY with flags', 'COPY --chmod=755 <<a /x\n1\na', { chmod: '755', heredocs: [{ name: 'a' }] }],
    ['COPY with a blank after <<', 'COPY << a /x\n1\na', { sources: [], destination: '/x', heredocs: [{ name: 'a', content: '1\n' }] }],
    [
      'COPY with blanks in the name',
      'COPY <<"a b" /x\n1\na b',
      { sources: [], destination: '/x', heredocs: [{ name: 'a b', content: '1\n' }] },
    ],
    ['ADD', 'ADD <<a /x\n1\na', { kind: 'ADD', heredocs: [{ name: 'a' }] }],
    ['ONBUILD', 'ONBUILD COPY <<-a /x\n\t1\n\ta', { triggerText: 'COPY <<-a /x\n\t1\na', trigger: { heredocs: [{ content: '1\n' }] } }],
    ['ONBUILD RUN', 'onbuild run <<a\n1\na', { triggerText: 'run <<a\n1\na' }],
  ])('%s', (_name, text, expected) => {
    const all = body(text)
    expect(all).toHaveLength(1)
    expect(all[0]).toMatchObject(expected)
  })

  test.each<[string, string]>([
    ['quoted', 'RUN echo "<<EOF"'],
    ['in single quotes', "RUN echo 'a <<EOF'"],
    ['a here-string', 'RUN cat <<<EOF'],
    ['arithmetic', 'RUN echo $((1<<2))'],
    ['in JSON', 'RUN ["cat", "<<EOF"]'],
    ['in JSON of COPY', 'COPY ["<<EOF", "/x"]'],
    ['in ENV', 'ENV a=<<EOF'],
    ['in CMD', 'CMD cat <<EOF'],
    ['in LABEL', 'LABEL a="<<EOF"'],
    ['in a flag', 'COPY --chown=<<E a b'],
    ['in ONBUILD CMD', 'ONBUILD CMD cat <<EOF'],
  ])('%s it is none', (_name, text) => {
    expect(body(`${text}\nWORKDIR /x`)).toHaveLength(2)
  })

  test.each<[string, string, string]>([
    ['unterminated', 'RUN <<EOF\na\n', 'unterminated heredoc "EOF"'],
    ['the second unterminated', 'RUN cat <<A <<B\nA\nb', 'unterminated heredoc "B"'],
    ['a blank after the terminator', 'COPY <<E /x\nE ', 'unterminated heredoc "E"'],
    ['as destination', 'COPY a <<E\nE', 'COPY cannot accept a heredoc as a destination'],
    ['hidden by an open quote', `COPY it's <<E /x\n1\nE`, 'COPY takes a heredoc only as a source of its own'],
  ])('%s: an error', (_name, text, message) => {
    expect(() => body(text)).toThrow(message)
  })
})

describe('what RUN starts', () => {
  const run = (text: string) => {
    const [first] = body(text)
    if (first?.kind !== 'RUN') throw new Error('no RUN')
    return runCommand(first, shell)
  }

  test.each<[string, string, ReturnType<typeof run>]>([
    ['one heredoc is the text of the shell', 'RUN <<EOF\na\nb\nEOF', { args: ['/bin/sh', '-c', 'a\nb\n'] }],
    ['without tabs if so wished', 'RUN <<-EOF\n\ta\n\tEOF', { args: ['/bin/sh', '-c', 'a\n'] }],
    ['quoted makes no difference: nothing is expanded', 'RUN <<"EOF"\n$a\nEOF', { args: ['/bin/sh', '-c', '$a\n'] }],
    [
      'one with #! is a file',
      'RUN <<EOF\n#!/usr/bin/python3\nx\nEOF',
      { args: ['/dev/pipes/EOF'], script: { name: 'EOF', content: '#!/usr/bin/python3\nx\n' } },
    ],
    [
      'with #! after stripped tabs',
      'RUN <<-EOF\n\t#!/bin/x\nEOF',
      { args: ['/dev/pipes/EOF'], script: { name: 'EOF', content: '#!/bin/x\n' } },
    ],
    ['with other words the shell does it', 'RUN cat <<EOF > x\na\nEOF', { args: ['/bin/sh', '-c', 'cat <<EOF > x\na\nEOF'] }],
    ['also if they come after', 'RUN <<EOF cat\na\nEOF', { args: ['/bin/sh', '-c', '<<EOF cat\na\nEOF'] }],
    ['then tabs stay for the shell to strip', 'RUN cat <<-EOF\n\ta\n\tEOF', { args: ['/bin/sh', '-c', 'cat <<-EOF\n\ta\nEOF'] }],
    ['two', 'RUN cat <<A 3<<B\n1\nA\n2\nB', { args: ['/bin/sh', '-c', 'cat <<A 3<<B\n1\nA\n2\nB'] }],
    ['two without other words', 'RUN <<A <<B\n1\nA\n2\nB', { args: ['/bin/sh', '-c', '<<A <<B\n1\nA\n2\nB'] }],
    ['after flags', 'RUN --network=none <<EOF\na\nEOF', { args: ['/bin/sh', '-c', 'a\n'] }],
    ['none', 'RUN a  "b" $c', { args: ['/bin/sh', '-c', 'a  "b" $c'] }],
    ['exec form', 'RUN ["a", "b c"]', { args: ['a', 'b c'] }],
  ])('%s', (_name, text, expected) => {
    expect(run(text)).toEqual(expected)
  })
})
