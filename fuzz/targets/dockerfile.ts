import { StaveError } from '#error.ts'
import { expand, expandForDisplay, expandHeredoc, expandWords } from '#dockerfile/expand.ts'
import { ignoreMatcher, parseIgnore } from '#dockerfile/ignore.ts'
import { lint } from '#dockerfile/lint.ts'
import { parseDockerfile } from '#dockerfile/parse.ts'
import { printDockerfile } from '#dockerfile/print.ts'
import { joined } from '../random.ts'
import { ours, type Target } from '../target.ts'

const text = {
  files: [
    'FROM x\n', 'FROM x AS y\n', 'from y as Z\n', 'RUN ', 'run ', 'COPY ', 'ADD ', 'ENV ', 'LABEL ', 'ARG ', 'CMD ', 'ENTRYPOINT ', 'SHELL ', 'USER ', 'WORKDIR ', 'EXPOSE ',
    'VOLUME ', 'STOPSIGNAL ', 'HEALTHCHECK ', 'HEALTHCHECK CMD ', 'ONBUILD ', 'ONBUILD RUN ', 'ONBUILD COPY ', 'MAINTAINER ', 'FOO ', 'a', 'b=1', '"', "'", '\\', '\\\\', '`', ' ', '  ', '\t',
    '\n', '\n', '\n', '\r\n', '\\\n', '\\ \n', '`\n', '# c\n', '#\n', '# escape=`\n', '# syntax=x\n', '# check=skip=all\n', '#!x\n', '<<E', '<<-"E"', '3<<E', '<< E', 'E\n', '\tE\n', '$x', '${x}',
    '${x:-y}', '[', ']', '["a"]', '["a", 1]', '["a",]', '--', '--from=y', '--mount=', 'type=cache,', 'target=/x', 'from=y', '--link', '--chmod=a', '--interval=1s ', '80/tcp', '1-65535', ',', '=', '/', '.',
    '\ufeff', '\u0000', '\u0085', '\u00a0', '\u2028', 'é', '😀', '\ud800', '\v', '\f',
  ],
  words: [
    'a', 'ab', ' ', '$', '$$', '$x', '$1', '$@', '${', '}', '{', '${x', '${x:-', '${u:-', '${x-', '${x:+', '${u?', '${x#', '${x##', '${x%', '${x%%', '${x/', '${x//', '/', '*', '?', ':', '\\', '\\\\', '\\}', '\\/', '"', "'", '`', '<', '<<',
    'é', '😀', '\n', '\u00a0', '\ud800',
  ],
  patterns: ['a', 'b', '*', '**', '?', '/', '[', ']', '[a-b]', '[^a]', '[b-a]', '\\', '!', '.', '..', ' ', '#', '\n', '\n', '\r\n', '|', '{', '}', '(', '$', '^', '+', 'é', '😀', '\ufeff', '\u0000'],
  paths: ['a', 'b', '/', '/', '.', '*', '[', 'é', '😀', 'ab', '\n'],
} // prettier-ignore

const meaning = (file: ReturnType<typeof parseDockerfile>): string =>
  JSON.stringify({ directives: file.directives, globals: file.globals, stages: file.stages }, (key, value: unknown) =>
    key === 'span' || key === 'wordSpans' ? undefined : value,
  )

/** An error has its place in the file; what is printed means the same, and is printed the same again. */
export const dockerfiles: Target = {
  name: 'dockerfile',
  next(random) {
    const input = (random.next() < 0.8 ? 'FROM x\n' : '') + joined(random, text.files, 60)
    return { input, work: () => checkFile(input) }
  },
}

function checkFile(input: string): void {
  let file
  try {
    file = parseDockerfile(input, { file: 'Dockerfile' })
  } catch (error) {
    if (!(error instanceof StaveError)) throw error
    const lines = input.split('\n').length
    if (error.span === undefined || error.span.line < 1 || error.span.endLine > lines)
      throw new Error('an error without its place', { cause: error })
    return
  }
  const printed = printDockerfile(file)
  const again = parseDockerfile(printed, { file: 'Dockerfile' })
  if (meaning(again) !== meaning(file)) throw new Error(`means something else once printed: ${JSON.stringify(printed)}`)
  if (printDockerfile(again) !== printed) throw new Error(`prints differently the second time: ${JSON.stringify(printed)}`)
  const platform = { os: 'linux', architecture: 'amd64' }
  ours(() => lint(file, { targetPlatform: platform, buildPlatform: platform, ignore: [{ pattern: 'a*', negated: false, line: 1 }] }))
}

export const expansions: Target = {
  name: 'expansion',
  next(random) {
    const input = joined(random, text.words, 40)
    const value = joined(random, text.words, 20)
    return {
      input: JSON.stringify([input, value]),
      work() {
        for (const run of [expand, expandWords, expandHeredoc, expandForDisplay])
          for (const escape of ['\\', '`'] as const) ours(() => run(input, (name) => (name === 'x' ? value : undefined), { escape }))
      },
    }
  },
}

export const ignores: Target = {
  name: 'ignore',
  next(random) {
    const input = joined(random, text.patterns, 40)
    const path = joined(random, text.paths, 40)
    return { input: JSON.stringify([input, path]), work: () => ours(() => ignoreMatcher(parseIgnore(input)).ignores(path)) }
  },
}
