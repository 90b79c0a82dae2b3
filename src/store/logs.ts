/** What is kept of builds that are over: a directory for each, and which build was the last of a project. */
import { layout, pathOf } from './layout.ts'
import { readdirSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as limit from '#limit.ts'
import type { Store } from './store.ts'

/** The names of builds. What is being removed has another. */
export const buildNames = /^[0-9A-Za-z-]+$/
/** A build that runs writes here as well: what was touched this lately is nobody's to remove. */
const runningMs = 60 * 60_000
const dayMs = 24 * 60 * 60_000

/** Removes the logs of old builds, so that they never take more than their share of the disk. The newest stay. */
export function capBuildLogs(store: Pick<Store, 'root'>, now = Date.now()): void {
  const logs = entries(store, layout.builds)
    .filter((name) => buildNames.test(name))
    .map((name) => measure(pathOf(store, layout.build(name))))
    .toSorted((one, other) => other.used - one.used)
  let [bytes, removed] = [0, 0]
  for (const [position, log] of logs.entries()) {
    bytes += log.bytes
    const isTooMuch = position >= limit.buildLogs || bytes > limit.buildLogBytes || now - log.used > limit.buildLogDays * dayMs
    if (!isTooMuch || now - log.used < runningMs) continue
    rmSync(log.path, { recursive: true, force: true })
    removed++
  }
  if (removed > 0) for (const path of danglingLinks(store)) rmSync(path, { force: true })
}

/** Links to the last build of a project whose log is gone. */
export function danglingLinks(store: Pick<Store, 'root'>): string[] {
  return entries(store, layout.lastBuilds)
    .map((name) => pathOf(store, layout.lastBuild(name)))
    .filter((path) => !isThere(store, path))
}

function isThere(store: Pick<Store, 'root'>, link: string): boolean {
  try {
    return statSync(pathOf(store, layout.build(readlinkSync(link))), { throwIfNoEntry: false }) !== undefined
  } catch {
    return false
  }
}

function measure(path: string): { path: string; bytes: number; used: number } {
  let [bytes, used] = [0, 0]
  for (const name of readdirSync(path)) {
    const stat = statSync(join(path, name), { throwIfNoEntry: false })
    bytes += stat?.size ?? 0
    used = Math.max(used, stat?.mtimeMs ?? 0)
  }
  return { path, bytes, used: used || (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) }
}

function entries(store: Pick<Store, 'root'>, directory: string): string[] {
  try {
    return readdirSync(pathOf(store, directory))
  } catch {
    return [] // No build has had any.
  }
}
