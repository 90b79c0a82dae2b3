import { accessSync, constants } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { StaveError } from '#error.ts'

export interface LocateOptions {
  /** Where a person says it is: nothing else is tried. */
  readonly path?: string
  readonly architecture?: string
}

/**
 * Finds the native program: an explicit path, beside the bundle, in `dist/` of a checkout, or in the package of this
 * platform.
 *
 * @throws StaveError `runner`
 */
export function locateRunner(options: LocateOptions = {}): string {
  if (options.path !== undefined) {
    if (isExecutable(options.path)) return options.path
    throw new StaveError('runner', `cannot use ${options.path} as stave-runner: it is not an executable file`)
  }
  const here = import.meta.dirname
  const candidates = [
    join(here, 'stave-runner'), // beside the bundle
    join(here, '../../dist/stave-runner'), // from src/runner/ of a checkout
  ]
  const found = candidates.find(isExecutable) ?? fromPackage(options.architecture ?? process.arch)
  if (found !== undefined) return found
  throw new StaveError('runner', 'cannot find stave-runner, the native half of Stave', {
    cause: new Error(`tried ${candidates.join(', ')}`),
    hint: `The package stave-runner-linux-${process.arch} has it; install it beside stave. In a checkout, npm run setup builds it (cargo is needed).`,
  })
}

function fromPackage(architecture: string): string | undefined {
  try {
    const path = createRequire(import.meta.url).resolve(`stave-runner-linux-${architecture}/bin/stave-runner`)
    return isExecutable(path) ? path : undefined
  } catch {
    return undefined
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
