import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { digestOf } from '#oci/digest.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient } from '#registry/client/registry.ts'
import { layerOf, pushImage } from '#registry/testing.ts'
import { temporary } from './registries.ts'

const program = `
import { serve } from '#registry/server/server.ts'
const { host } = await serve({ directory: process.argv[1] })
console.log(host)
`

let directory: string
let child: ChildProcess | undefined

beforeEach(async () => {
  directory = await temporary()
})
afterEach(async () => {
  child?.kill('SIGKILL')
  await rm(directory, { recursive: true, force: true })
})

async function start(): Promise<string> {
  child = spawn(process.execPath, ['--input-type=module', '-e', program, directory], {
    cwd: path.join(import.meta.dirname, '..'),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface({ input: child.stdout! })) return line
  throw new Error('the server said nothing')
}

async function kill(): Promise<void> {
  const ended = once(child!, 'exit')
  child!.kill('SIGKILL')
  await ended
}

test('a registry that is killed at any moment shows only what is whole, and goes on', async () => {
  for (let round = 0; round < 12; round++) {
    const host = await start()
    await using client = createRegistryClient({ retry: { attempts: 1 } })
    const pushing = Array.from({ length: 6 }, async (_, index) =>
      pushImage(cx, client.open(parseReference(`${host}/r${index % 2}`)), `t${round}-${index}`, layerOf(1_500_000 + index)),
    )
    const over = Promise.allSettled(pushing)
    // Later rounds get longer: on a slow machine some of them must have come to something.
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 100 * (round + 1)))
    await kill()
    await over
  }

  const names = await readdir(path.join(directory, 'blobs/sha256'))
  for (const name of names) expect(digestOf(await readFile(path.join(directory, 'blobs/sha256', name)))).toBe(`sha256:${name}`)

  const host = await start()
  await using client = createRegistryClient()
  let images = 0
  for (const repository of await client.listRepositories(cx, host)) {
    const registry = client.open(parseReference(`${host}/${repository}`))
    for (const tag of await registry.listTags(cx)) {
      const root = await registry.resolve(cx, tag)
      const chunks: Uint8Array[] = []
      for await (const chunk of await registry.open(cx, root)) chunks.push(chunk)
      const manifest = JSON.parse(Buffer.concat(chunks).toString()) as { config: typeof root; layers: (typeof root)[] }
      for (const blob of [manifest.config, ...manifest.layers])
        for await (const chunk of await registry.open(cx, blob)) expect(chunk.length).toBeGreaterThan(0)
      images++
    }
  }
  // The same commands again succeed.
  for (let index = 0; index < 4; index++) await pushImage(cx, client.open(parseReference(`${host}/r${index % 2}`)), `last-${index}`)
  expect(images).toBeLessThanOrEqual(72)
  expect(names.length).toBeGreaterThan(0)
})
