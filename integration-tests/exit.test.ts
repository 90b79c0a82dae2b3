import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { binary, busyboxTar, workshop } from './stave.ts'

/** How many commands are run: the suite takes a sample, `STAVE_EXIT_RUNS=3000 npm run test:integration exit.test` all that it is meant for. */
const runs = Number(process.env['STAVE_EXIT_RUNS'] ?? 48)
/** Far above what one takes on a machine that is busy with this. */
const mostMs = 60_000

/** A loop on each processor for as long as it is held. */
function busyMachine(): Disposable {
  const loops = Array.from({ length: availableParallelism() }, () => spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }))
  return { [Symbol.dispose]: () => loops.forEach((loop) => loop.kill('SIGKILL')) }
}

/** How a process ended: its status, or `hangs` if it had to be killed. */
function ending(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      resolve('hangs')
    }, mostMs)
    child.once('exit', (status, signal) => {
      clearTimeout(timer)
      resolve(status ?? signal ?? 'unknown')
    })
  })
}

test('a command that has said all it had to say ends, on a busy machine too (nodejs/node#54918)', { timeout: 1_800_000 }, async () => {
  using shop = workshop('exit')
  shop.must(['import', '-q', busyboxTar(), 'busybox'])
  const words = [['images', '-q'], ['doctor', '--verify'], ['--version'], ['ps', '-a'], ['inspect', 'busybox']]
  using _busy = busyMachine()
  const endings: (number | string)[] = []
  let next = 0
  const worker = async () => {
    while (next < runs) {
      endings.push(
        await ending(spawn(binary, words[next++ % words.length]!, { stdio: 'ignore', env: { ...process.env, STAVE_ROOT: shop.store } })),
      )
    }
  }
  await Promise.all(Array.from({ length: 4 }, worker))
  expect(endings.filter((status) => status !== 0)).toEqual([])
  expect(endings).toHaveLength(runs)
})

test('no compiler works in the background', async () => {
  using shop = workshop('exit-flags')
  const server = shop.start(['serve', '--port', '0', '--directory', shop.path('registry'), '--quiet'])
  await new Promise((resolve) => server.stdout!.once('data', resolve))
  const words = readFileSync(`/proc/${server.pid}/cmdline`, 'utf8').split('\0')
  server.kill()
  expect(words).toEqual(expect.arrayContaining(['--no-concurrent-recompilation', '--no-concurrent-sparkplug']))
})
