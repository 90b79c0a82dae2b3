import { stat, unlink, utimes } from 'node:fs/promises'

/** Undefined when it does not exist. */
export async function sizeOf(file: string): Promise<number | undefined> {
  return (await optional(stat(file)))?.size
}

/** Says that a file was changed just now. False when it does not exist. */
export async function touch(file: string): Promise<boolean> {
  const now = new Date()
  return (await optional(utimes(file, now, now).then(() => true))) ?? false
}

/** False when it does not exist. */
export async function remove(file: string): Promise<boolean> {
  return (await optional(unlink(file).then(() => true))) ?? false
}

/** Undefined for what does not exist, and for a name that is too long to exist. */
export async function optional<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}
