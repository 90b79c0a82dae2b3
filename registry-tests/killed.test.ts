import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { hasCode } from '#error.ts'
import { digestOf } from '#oci/digest.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient } from '#registry/client/registry.ts'
import { collect, layerOf, pushImage } from '#registry/testing.ts'
import { temporary } from './registries.ts'

const program = `
import { serve } from '#registry/server/server.ts'
const { host } = await serve({ directory: process.argv[1], port: Number(process.argv[2]), collect: { everyMs: 50 } })
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

async function start(port = 0): Promise<string> {
  child = spawn(process.execPath, ['--input-type=module', '-e', program, directory, String(port)], {
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

test('ten clients push and pull at once while the registry is killed and started again, and none loses anything', async () => {
  // Below the ports that the kernel gives to clients: else one of them, while nobody listens, may connect to itself.
  const port = 20_000 + Math.floor(Math.random() * 10_000)
  const host = await start(port)
  await using client = createRegistryClient({ retry: { firstDelayMs: 20, maxDelayMs: 200 } })
  // A client gives up on a port where nobody listens, and whoever uses it does the same again.
  const persistently = async <T>(act: () => Promise<T>): Promise<T> => {
    for (const end = Date.now() + 60_000; ;) {
      try {
        return await act()
      } catch (error) {
        if (!hasCode(error, 'network', 'timeout', 'tls') || Date.now() > end) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  const shared = layerOf(400_000)
  let working = 10
  const clients = Array.from({ length: working }, async (_, at) => {
    const registry = client.open(parseReference(`${host}/r${at % 3}`))
    for (let round = 0; round < 5; round++) {
      const content = round % 2 === 0 ? shared : layerOf(300_000 + at)
      const { manifest } = await persistently(() => pushImage(cx, client.open(registry.reference), `t${at}`, content))
      // Nothing that another client remembers: all of it is read again.
      await persistently(async () => {
        const again = client.open(registry.reference)
        expect((await again.resolve(cx, `t${at}`)).digest).toBe(manifest.what.digest)
        expect(digestOf(await collect(await again.open(cx, content.what)))).toBe(content.what.digest)
      })
    }
    working--
  })
  const killing = (async () => {
    let kills = 0
    for (; working > 0 && kills < 8; kills++) {
      await new Promise((resolve) => setTimeout(resolve, 150 + Math.random() * 300))
      await kill()
      await start(port)
    }
    return kills
  })()
  await Promise.all(clients)
  expect(await killing).toBeGreaterThan(1)
  for (const name of await readdir(path.join(directory, 'blobs/sha256')))
    expect(digestOf(await readFile(path.join(directory, 'blobs/sha256', name)))).toBe(`sha256:${name}`)
})
