/** A line that both texts have, or one of them. */
export interface DiffLine {
  readonly kind: 'same' | 'removed' | 'added'
  readonly text: string
}

/** The most work (lines of one text times those of the other) that is done to find the fewest changes. */
const mostWork = 4_000_000

/**
 * What to take away from one text and to add to get the other. Texts that are long and have little in common are told as
 * replaced whole between their common beginning and end.
 *
 * @see Hunt and McIlroy, "An Algorithm for Differential File Comparison": the longest common subsequence
 */
export function diffLines(before: readonly string[], after: readonly string[]): readonly DiffLine[] {
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  const most = Math.min(before.length, after.length) - start
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end++
  const lines = (kind: DiffLine['kind'], texts: readonly string[]): DiffLine[] => texts.map((text) => ({ kind, text }))
  const [left, right] = [before.slice(start, before.length - end), after.slice(start, after.length - end)]
  const middle = left.length * right.length > mostWork ? [...lines('removed', left), ...lines('added', right)] : changed(left, right)
  return [...lines('same', before.slice(0, start)), ...middle, ...lines('same', before.slice(before.length - end))]
}

function changed(left: readonly string[], right: readonly string[]): DiffLine[] {
  const width = right.length + 1
  /** How many lines the rest of both, from here on, have in common. */
  const common = new Uint32Array((left.length + 1) * width)
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      const [down, across] = [common[(i + 1) * width + j]!, common[i * width + j + 1]!]
      common[i * width + j] = left[i] === right[j] ? common[(i + 1) * width + j + 1]! + 1 : Math.max(down, across)
    }
  }
  const found: DiffLine[] = []
  let [i, j] = [0, 0]
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      found.push({ kind: 'same', text: left[i]! })
      i++
      j++
    } else if (j === right.length || (i < left.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!))
      found.push({ kind: 'removed', text: left[i++]! })
    else found.push({ kind: 'added', text: right[j++]! })
  }
  return found
}

/** Two JSON values, a line each for what changed, with the lines around it. Empty: they are the same. */
export function diffJson(before: unknown, after: unknown, context = 2): readonly string[] {
  const text = (value: unknown) => JSON.stringify(value, undefined, 2).split('\n')
  const lines = diffLines(text(before), text(after))
  const isNear = (at: number) => lines.slice(Math.max(0, at - context), at + context + 1).some(({ kind }) => kind !== 'same')
  const sign = { same: ' ', removed: '-', added: '+' } as const
  return lines.flatMap(({ kind, text: line }, at) => (isNear(at) ? [`${sign[kind]} ${line}`] : []))
}
