// .dockerignore, as seen through COPY . (reference of the builder 1.8).
import { lines, type Case, type Files } from '../case.ts'

const files: Files = {
  a: 'a',
  'b.txt': 'b',
  '.git/HEAD': 'h',
  'node_modules/m/index.js': 'm',
  'src/a': 'sa',
  'src/b.txt': 'sb',
  'src/deep/c.txt': 'sc',
  'src/deep/keep': 'k',
  'docs/read.md': 'r',
  'docs/x/read.md': 'rx',
}

function ignoring(name: string, ...patterns: readonly string[]): Case {
  return {
    name: `ignore ${name}`,
    dockerfile: lines('FROM scratch', 'COPY . /'),
    files: { ...files, '.dockerignore': lines(...patterns, '.dockerignore') },
  }
}

export const ignores: readonly Case[] = [
  ignoring('a name at the top only', 'a'),
  ignoring('a name at any depth', '**/a'),
  ignoring('a directory', 'node_modules'),
  ignoring('a directory with a slash', 'src/deep/'),
  ignoring('with a leading slash', '/src'),
  ignoring('by suffix at the top', '*.txt'),
  ignoring('by suffix at any depth', '**/*.txt'),
  ignoring('one level down', '*/*.txt'),
  ignoring('by a question mark', '?'),
  ignoring('by a class', '[a-b]*'),
  ignoring('all below a directory', 'src/**'),
  ignoring('all but some', '*', '!src'),
  ignoring('all but what is below', '*', '!src/**'),
  ignoring('a child of what is ignored comes back', 'src', '!src/deep/keep'),
  ignoring('the last one wins', '!a', 'a', '**/*.txt', '!src/b.txt'),
  ignoring('a comment and empty lines', '# a', '', '   ', 'a'),
  ignoring('an indented hash is a pattern', '  # a', 'a'),
  ignoring('spaces around', '  a  ', '! src '),
  ignoring('dots in the pattern', './a', 'src/../docs'),
  {
    name: 'ignore an escaped character',
    dockerfile: lines('FROM scratch', 'COPY . /'),
    files: { 'a*': 'star', ab: 'ab', '[c]': 'brackets', c: 'c', '.dockerignore': 'a\\*\n\\[c]\n.dockerignore\n' },
  },
  ignoring('a name that looks like an expression', 'a+', '(src)', 'b.txt$'),
  ignoring('two stars between', 'src/**/c.txt'),
  ignoring('two stars at the end of a name', 'src/d**'),
  ignoring('only what is allowed', '**', '!**/*.md'),
  {
    ...ignoring('what is named'),
    name: 'ignore what COPY names',
    dockerfile: lines('FROM scratch', 'COPY a /'),
    files: { a: 'a', '.dockerignore': 'a\n' },
    fails: 'a',
  },
  {
    name: 'ignore a pattern that is none',
    dockerfile: lines('FROM scratch', 'COPY . /'),
    files: { a: 'a', '.dockerignore': '!\n' },
    fails: '!',
  },
  {
    name: 'ignore is not for other stages',
    dockerfile: lines('FROM busybox AS one', 'COPY b /a', 'FROM scratch', 'COPY --from=one /a /a'),
    files: { b: 'b', '.dockerignore': 'a\n' },
  },
  {
    name: 'ignore with a byte order mark',
    dockerfile: lines('FROM scratch', 'COPY . /'),
    files: { a: 'a', b: 'b', '.dockerignore': '\uFEFFa\n.dockerignore\n' },
  },
]
