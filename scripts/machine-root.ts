import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Makes a build context of programs of this machine and the libraries that they need: a base image that no registry is
 * asked for. `directory` gets `root/` and the Dockerfile that takes it.
 */
export function machineRoot(directory: string, programs: readonly string[]): void {
  for (const program of programs) {
    const path = locate(program)
    copy(path, join(directory, 'root/bin', program))
    for (const library of libraries(path)) copy(library, join(directory, 'root', library))
  }
  writeFileSync(join(directory, 'Dockerfile'), 'FROM scratch\nCOPY . /\nENV PATH=/bin\nCMD ["/bin/sh"]\n')
}

function locate(program: string): string {
  const { stdout } = spawnSync('sh', ['-c', `PATH=/usr/bin:/bin:$PATH command -v ${program}`], { encoding: 'utf8' })
  const path = stdout.trim()
  if (!path.startsWith('/')) throw new Error(`${program} is missing on this machine`)
  return path
}

/** The libraries and the loader of a program, by the names under which it looks for them. None of a static one. */
function libraries(path: string): readonly string[] {
  const { stdout } = spawnSync('ldd', [path], { encoding: 'utf8' })
  return [...(stdout ?? '').matchAll(/(?:=>|^)\s*(\/\S+) \(0x/gm)].map(([, library]) => library!)
}

/** A link is followed. */
function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(from, to)
}
