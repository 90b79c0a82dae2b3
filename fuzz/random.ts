/** Chance that is the same for the same seed. */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** In [0, bound). */
  below(bound: number): number
  pick<T>(choices: readonly T[]): T
}

/** @see mulberry32 */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (bound: number): number => Math.floor(next() * bound)
  return { next, below, pick: (choices) => choices[below(choices.length)]! }
}

/** Pieces in any order, now and then many of a kind, which is where quadratic time shows. */
export function joined(random: Random, pieces: readonly string[], longest: number): string {
  const count = Math.floor(random.next() ** 2 * longest)
  let out = ''
  for (let i = 0; i < count; i++) {
    const piece = random.pick(pieces)
    out += random.next() < 0.01 ? piece.repeat(random.below(2_000)) : piece
  }
  return out
}

/** A text that is nearly one of `seeds`: parts are cut, doubled, moved, or give way to one of `words`. */
export function mutated(random: Random, seeds: readonly string[], words: readonly string[]): string {
  let text = random.pick(seeds)
  for (let change = random.below(8); change >= 0; change--) {
    const at = random.below(text.length + 1)
    const end = Math.min(text.length, at + random.below(random.next() < 0.1 ? 200 : 8))
    const word = random.pick(words)
    const part = text.slice(at, end)
    switch (random.below(5)) {
      case 0:
        text = text.slice(0, at) + text.slice(end)
        break
      case 1:
        text = text.slice(0, at) + part.repeat(random.next() < 0.02 ? random.below(3_000) : 2) + text.slice(end)
        break
      case 2:
        text = text.slice(0, at) + word + text.slice(at)
        break
      case 3:
        text = text.slice(0, at) + word + text.slice(end)
        break
      default: {
        const rest = text.slice(0, at) + text.slice(end)
        const to = random.below(rest.length + 1)
        text = rest.slice(0, to) + part + rest.slice(to)
      }
    }
  }
  return text
}

/** The same for bytes. */
export function mutatedBytes(random: Random, seeds: readonly Uint8Array[], words: readonly string[]): Buffer {
  const texts = seeds.map((seed) => Buffer.from(seed).toString('latin1'))
  return Buffer.from(mutated(random, texts, [...words, String.fromCharCode(random.below(256))]), 'latin1')
}
