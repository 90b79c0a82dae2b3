import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Sample {
  readonly wallS: number
  /** Busy time of the whole machine meanwhile, so that helpers and daemons count. */
  readonly cpuS: number
  /** Of the largest process in the command's tree. */
  readonly peakMb: number
}

const ticks = 100

/** Runs a command once, from its start to its end as seen from outside. */
export async function measure(command: readonly string[], env: NodeJS.ProcessEnv): Promise<Sample> {
  const busyBefore = busyTicks()
  const began = process.hrtime.bigint()
  // GNU time reports what the kernel accounted for the command and all that it waited for.
  const child = spawn('/usr/bin/env', ['time', '-f', 'peak %M', ...command], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors = (errors + chunk).slice(-8192)))
  const status = await new Promise<number | null>((done) => child.on('close', done))
  const wallS = Number(process.hrtime.bigint() - began) / 1e9
  if (status !== 0) throw new Error(`${command.join(' ')} failed with status ${status}:\n${errors}`)
  return { wallS, cpuS: (busyTicks() - busyBefore) / ticks, peakMb: Number(/peak (\d+)/.exec(errors)?.[1] ?? 0) / 1024 }
}

function busyTicks(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return user + nice + system + irq + softirq
}
