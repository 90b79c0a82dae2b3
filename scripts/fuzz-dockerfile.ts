// Feeds hostile text to the Dockerfile parser, the expansion and the ignore matcher, and looks for what must not be:
// an error that is not ours, a place outside of the file, text that means something else once printed, and time.
//
//   sh scripts/node.sh scripts/fuzz-dockerfile.ts [SECONDS] [SEED]

import { StaveError } from '#error.ts'
import { expand, expandForDisplay, expandHeredoc, expandWords } from '#dockerfile/expand.ts'
import { ignoreMatcher, parseIgnore } from '#dockerfile/ignore.ts'
import { lint } from '#dockerfile/lint.ts'
import { parseDockerfile } from '#dockerfile/parse.ts'
import { printDockerfile } from '#dockerfile/print.ts'

const seconds = Number(process.argv[2] ?? 10)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
/** The longest that one small input may take. */
const patienceMs = 2_000

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

/** A generator of numbers in [0, 1), the same for the same seed (mulberry32). */
function randomOf(start: number): () => number {
  let state = start >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const random = randomOf(seed)

function join(pieces: readonly string[], longest: number): string {
  const count = Math.floor(random() ** 2 * longest)
  let out = ''
  for (let i = 0; i < count; i++) {
    const piece = pieces[Math.floor(random() * pieces.length)] as string
    // Now and then many of a kind, which is where quadratic time shows.
    out += random() < 0.01 ? piece.repeat(Math.floor(random() * 2_000)) : piece
  }
  return out
}

/** Runs `work`; what it throws must be an error of ours. */
function ours(work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof StaveError)) throw error
    if (error.message.length > 1_000_000) throw new Error('the message is too long', { cause: error })
  }
}

const meaning = (file: ReturnType<typeof parseDockerfile>): string =>
  JSON.stringify({ directives: file.directives, globals: file.globals, stages: file.stages }, (key, value: unknown) =>
    key === 'span' || key === 'wordSpans' ? undefined : value,
  )

const targets: Readonly<Record<string, () => { input: string; work: () => void }>> = {
  parse() {
    const input = (random() < 0.8 ? 'FROM x\n' : '') + join(text.files, 60)
    return {
      input,
      work() {
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
      },
    }
  },
  expand() {
    const input = join(text.words, 40)
    const value = join(text.words, 20)
    return {
      input: JSON.stringify([input, value]),
      work() {
        for (const run of [expand, expandWords, expandHeredoc, expandForDisplay]) {
          for (const escape of ['\\', '`'] as const) ours(() => run(input, (name) => (name === 'x' ? value : undefined), { escape }))
        }
      },
    }
  },
  ignore() {
    const input = join(text.patterns, 40)
    const path = join(text.paths, 40)
    return { input: JSON.stringify([input, path]), work: () => ours(() => ignoreMatcher(parseIgnore(input)).ignores(path)) }
  },
}

const names = Object.keys(targets)
const counts = new Map<string, number>()
let slowest = { ms: 0, name: '' }
const end = performance.now() + seconds * 1000
while (performance.now() < end) {
  const name = names[Math.floor(random() * names.length)] as string
  const { input, work } = (targets[name] as () => { input: string; work: () => void })()
  const started = process.cpuUsage()
  try {
    work()
  } catch (error) {
    console.error(`${name} fails (seed ${seed}) on ${JSON.stringify(input)}`)
    throw error
  }
  // The processor's time: the clock also counts what other programs did meanwhile.
  const { user, system } = process.cpuUsage(started)
  const ms = (user + system) / 1000
  if (ms > slowest.ms) slowest = { ms, name }
  if (ms > patienceMs) {
    console.error(`${name} takes ${Math.round(ms)} ms (seed ${seed}) on ${JSON.stringify(input)}`)
    process.exit(1)
  }
  counts.set(name, (counts.get(name) ?? 0) + 1)
}
console.log(
  `seed ${seed}: nothing found in ${[...counts].map(([name, count]) => `${count} ${name}`).join(', ')}; the slowest took ${Math.round(slowest.ms)} ms (${slowest.name})`,
)
