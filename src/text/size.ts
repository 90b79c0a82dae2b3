import { StaveError } from '#error.ts'

const byteUnits: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 }

/** Reads `512m`, `1.5g`, `64KiB`, `1024`: units are binary, as in Docker. */
export function parseBytes(text: string, flag = 'size'): number {
  const match = /^(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text.trim())
  const unit = byteUnits[match?.[2]?.toLowerCase() ?? '?']
  if (match === null || unit === undefined) {
    throw usage(`cannot read ${flag} ${JSON.stringify(text)}: expected a number and a unit such as k, m or g`)
  }
  const bytes = Math.trunc(Number(match[1]) * unit)
  if (!Number.isSafeInteger(bytes)) throw usage(`cannot use ${flag} ${JSON.stringify(text)}: it is too large`)
  return bytes
}

function usage(message: string): StaveError {
  return new StaveError('usage', message)
}
