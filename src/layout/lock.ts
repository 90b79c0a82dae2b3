import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { temporaryBeside } from '#image/file.ts'

/** A dead holder's lock is taken over after this: pid reuse and a lock file without content yet need a moment of doubt. */
const deadAfterMs = 1000
/** A lock is held for one rewrite of a small file. Whatever its holder says, it is broken after this. */
const brokenAfterMs = 60_000
const giveUpAfterMs = 120_000

/**
 * Runs `work` while this process alone holds the lock file. Locks of processes that died are taken over. Node has no
 * flock(2), and layouts lie on network file systems too, so it is a file that only one can create.
 *
 * @throws StaveError `in-use`, if someone else never lets go
 */
export async function withLock<T>(cx: Context, path: string, work: () => Promise<T>): Promise<T> {
  const started = Date.now()
  for (let delayMs = 2; !(await tryLock(path)); delayMs = Math.min(delayMs * 2, 100)) {
    cx.signal.throwIfAborted()
    if (await breakStale(path)) continue
    if (Date.now() - started > giveUpAfterMs) {
      throw new StaveError('in-use', `cannot lock ${path}: another process holds it`, {
        hint: 'If no other process uses the layout, remove that file.',
      })
    }
    await sleep(delayMs * (0.5 + Math.random()))
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx')
    try {
      await handle.writeFile(String(process.pid))
    } finally {
      await handle.close()
    }
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function breakStale(path: string): Promise<boolean> {
  try {
    const { mtimeMs, ino } = await stat(path)
    const age = Date.now() - mtimeMs
    if (age < deadAfterMs || (age < brokenAfterMs && isAlive(Number(await readFile(path, 'utf8'))))) return false
    // Two may find it stale. By renaming, one of them gets it; if that is by now a fresh lock of the other, it goes back.
    const aside = temporaryBeside(path)
    await rename(path, aside)
    if ((await stat(aside)).ino === ino) await rm(aside, { force: true })
    else await rename(aside, path)
    return true
  } catch (error) {
    // Someone else was faster, or the holder has just let go.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true
    throw error
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
