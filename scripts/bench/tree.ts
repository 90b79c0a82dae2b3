import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Makes 20,000 small files, about 120 MB: program text, JSON and binary; the same bytes every time. */
export function makeTree(root: string): void {
  const random = generator(1)
  const words = Array.from({ length: 3000 }, () =>
    Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick('bcdfghklmnprstvz', random) + pick('aeiou', random)).join(''),
  )
  const lines = Array.from({ length: 6000 }, () => textLine(words, random))
  for (let directory = 0; directory < 400; directory++) {
    const path = join(root, `pkg${two(directory % 50)}`, `lib${two(Math.floor(directory / 50))}`, ...(directory % 3 === 0 ? [] : ['src']))
    mkdirSync(path, { recursive: true })
    for (let file = 0; file < 50; file++) {
      // Log-normal: a median of 3 KB and a mean of 6.
      const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
      const size = Math.min(Math.floor(Math.exp(8 + 1.2 * normal)), 400_000) + 20
      const kind = random()
      const name = join(path, `f${two(file)}.${kind < 0.7 ? 'js' : kind < 0.85 ? 'json' : 'bin'}`)
      writeFileSync(name, kind < 0.85 ? text(lines, words, size, random) : bytes(size, random))
      if (kind < 0.02) chmodSync(name, 0o755)
    }
  }
}

/** mulberry32 */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

function textLine(words: readonly string[], random: () => number): string {
  const body = Array.from({ length: 3 + Math.floor(random() * 9) }, () => words[Math.floor(words.length * random() ** 3)]).join(' ')
  return (
    '  '.repeat(Math.floor(random() * 5)) +
    ['const ', 'return ', 'if (', '// ', 'import ', ''][Math.floor(random() * 6)] +
    body +
    [';', ') {', '', ',', '});'][Math.floor(random() * 5)]
  )
}

function text(lines: readonly string[], words: readonly string[], size: number, random: () => number): string {
  let made = ''
  while (made.length < size) {
    made +=
      random() < 0.7
        ? lines[Math.floor(lines.length * random() ** 2)]
        : `  ${words[Math.floor(random() * 3000)]} = ${words[Math.floor(random() * 3000)]}(${Math.floor(random() * 65536).toString(16)});`
    made += '\n'
  }
  return made.slice(0, size)
}

function bytes(size: number, random: () => number): Buffer {
  const made = Buffer.alloc(size + 4)
  for (let at = 0; at < size; at += 4) made.writeUInt32LE(Math.floor(random() * 4294967296), at)
  return made.subarray(0, size)
}

function pick(from: string, random: () => number): string {
  return from[Math.floor(random() * from.length)]!
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
