import { StaveError } from '#error.ts'

const powerOf: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4, p: 5 }

/**
 * Reads `512m`, `1.5g`, `64KiB`, `1024`: units are binary, as in Docker.
 *
 * @returns bytes, rounded down
 * @throws StaveError `usage`
 * @see go-units, RAMInBytes
 */
export function parseBytes(text: string, flag = 'size'): number {
  const bytes = count(text)
  if (bytes === undefined)
    throw new StaveError('usage', `cannot read ${flag} ${JSON.stringify(text)}: expected a number and a unit such as k, m or g`)
  if (!Number.isSafeInteger(bytes)) throw new StaveError('usage', `cannot use ${flag} ${JSON.stringify(text)}: it is too large`)
  return bytes
}

/** As {@link parseBytes}, for who has words of their own for what is none: undefined then. */
export function readBytes(text: string): number | undefined {
  const bytes = count(text)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

function count(text: string): number | undefined {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text.trim()) ?? []
  return amount === undefined ? undefined : Math.trunc(Number(amount) * 1024 ** powerOf[unit.toLowerCase()]!)
}
