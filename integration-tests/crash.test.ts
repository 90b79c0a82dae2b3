/** kill -9 at any instant leaves a store that is whole, and the repeated command succeeds. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { binary, busyboxTar, embeddedRegistry, workshop } from './stave.ts'

const rounds = 50
const shop = workshop('crash')
let registry: Awaited<ReturnType<typeof embeddedRegistry>>

beforeAll(async () => {
  registry = await embeddedRegistry(shop)
  shop.must(['import', busyboxTar(), 'base'])
  mkdirSync(shop.path('context'))
  for (let file = 0; file < 200; file++) writeFileSync(shop.path('context', `file${file}`), `${file}\n`.repeat(500))
  writeFileSync(
    shop.path('context/Dockerfile'),
    'FROM base\nARG ROUND\nRUN echo $ROUND > /round\nCOPY . /context\nRUN seq 2000 > /numbers\nFROM base\nCOPY --from=0 /context /context\n',
  )
})

afterAll(() => {
  registry.process.kill()
  shop[Symbol.dispose]()
})

/** Starts a command in a process group of its own and kills the whole group after a while. */
async function killedAfter(ms: number, args: readonly string[], store: string): Promise<void> {
  const child = spawn(binary, args, {
    env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: store },
    detached: true,
    stdio: 'ignore',
  })
  const ended = new Promise((done) => child.once('close', done))
  await Promise.race([ended, new Promise((done) => setTimeout(done, ms))])
  try {
    process.kill(-child.pid!, 'SIGKILL')
  } catch {
    // It had ended by itself: that is one of the instants too.
  }
  await ended
}

/** Times one whole run, then kills others at instants spread over it. */
async function torture(command: (round: number) => readonly string[], store: string, reset: () => void): Promise<void> {
  reset()
  const began = performance.now()
  shop.must(command(-1), { store })
  const wholeMs = performance.now() - began
  for (let round = 0; round < rounds; round++) {
    reset()
    await killedAfter(Math.random() * wholeMs * 1.1, command(round), store)
    if (round % 5 === 4) expect(shop.damage(store)).toEqual([])
    if (round % 10 === 9) shop.must(command(round), { store })
  }
  expect(shop.damage(store)).toEqual([])
}

test(`a build killed at ${rounds} instants`, async () => {
  await torture(
    (round) => ['build', '-q', '-t', 'crash', '--build-arg', `ROUND=${round}`, shop.path('context')],
    shop.store,
    () => {},
  )
})

test(`a push killed at ${rounds} instants`, async () => {
  await torture(
    (round) => ['push', '-q', 'crash', `docker://${registry.host}/crash${round}`],
    shop.store,
    () => {},
  )
})

test(`a pull killed at ${rounds} instants`, async () => {
  const store = shop.path('pulled')
  shop.must(['push', '-q', 'crash', `docker://${registry.host}/crash`])
  let round = 0
  await torture(
    () => ['pull', '-q', `${registry.host}/crash`],
    store,
    () => {
      // Now and then from nothing, else on top of what the killed ones left.
      if (round++ % 5 === 0) rmSync(store, { recursive: true, force: true })
    },
  )
  expect(shop.must(['run', '--rm', '--network', 'none', `${registry.host}/crash`, 'cat', '/context/file7'], { store })).toContain('7')
})
