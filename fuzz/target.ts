import { StaveError } from '#error.ts'
import type { Random } from './random.ts'

/** Hostile input for one part of the program, and what must hold of it whatever the input is. */
export interface Target {
  readonly name: string
  /** Makes an input. `work` throws if what must hold does not. */
  next(random: Random): { readonly input: string; readonly work: () => void | Promise<void> }
}

/** Runs `work`. What it throws must be an error of ours, of a length that somebody can read. */
export function ours(work: () => void): void {
  try {
    work()
  } catch (error) {
    checkOurs(error)
  }
}

export async function oursLater(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    checkOurs(error)
  }
}

function checkOurs(error: unknown): void {
  if (!(error instanceof StaveError)) throw error
  if (error.message.length > 1_000_000) throw new Error('the message is too long', { cause: error })
}

/** Words that mean something to a parser of documents, and the corners of numbers and of Unicode. */
export const documentWords: readonly string[] = [
  '{', '}', '[', ']', ':', ',', '"', "'", '\\', '\\u0000', '\\ud800', '\n', '\r', '\t', ' ', '#', '=', '-', '.', '..', '../', '/', '//', '@', '&', '*', '|', '>', '%', '!', '~',
  'null', 'true', 'false', '0', '-1', '1e999', '9007199254740993', '18446744073709551616', '0x10', 'NaN', '[]', '{}', '""', '[[', ']]', '__proto__', 'constructor', 'toString',
  'sha256:', 'a'.repeat(64), 'é', '😀', '\ud800', '\u0000', '\u202e', '\ufeff', '\u001b[31m', '$(x)', '${x}', '%2f', '%00',
] // prettier-ignore
