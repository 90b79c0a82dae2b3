/**
 * The option that was probably meant by `word`, if one is at most two edits away.
 *
 * @returns undefined also where an option equals `word`: then the fault was another one.
 */
export function suggest(word: string, options: Iterable<string>, ignoreCase = false): string | undefined {
  // Nothing near a word this long is a name of the language, and the cost is quadratic.
  if (word.length > 128) return undefined
  const wanted = ignoreCase ? word.toLowerCase() : word
  let best: string | undefined
  let bestDistance = 3
  for (const option of options) {
    const candidate = ignoreCase ? option.toLowerCase() : option
    if (candidate === wanted) return undefined
    if (Math.abs(candidate.length - wanted.length) >= bestDistance) continue
    const distance = editDistance(wanted, candidate)
    // Short words are all near each other: at least half of the letters must stay.
    if (distance < bestDistance && distance * 2 <= Math.max(wanted.length, candidate.length)) {
      best = option
      bestDistance = distance
    }
  }
  return best
}

/** The hint made of {@link suggest}, as a sentence. */
export function didYouMean(word: string, options: Iterable<string>, ignoreCase = false): string | undefined {
  const option = suggest(word, options, ignoreCase)
  return option === undefined ? undefined : `Did you mean ${option}?`
}

/** How many letters must be inserted, removed, replaced or swapped with their neighbour. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      let least = Math.min((previous[j] as number) + 1, (row[j - 1] as number) + 1, replace)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, (beforePrevious[j - 2] as number) + 1)
      row.push(least)
    }
    beforePrevious = previous
    previous = row
  }
  return previous[b.length] as number
}
