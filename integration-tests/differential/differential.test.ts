/**
 * Small Dockerfiles, built by Stave and by other builders; the trees and configs are compared entry by entry.
 *
 * What the peers make of them is kept in golden/. With STAVE_TEST_LIVE=1 the peers run now, and Stave is compared with that;
 * with STAVE_TEST_UPDATE=1 what they make of new and changed cases is kept (`all`: of all cases).
 * STAVE_TEST_CASES=TEXT: only cases whose names hold TEXT.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoContainers } from '#store/busybox.fixture.ts'
import { baseNames, dockerArchive, importBases } from './bases.ts'
import { writeFiles, type Case, type ExpectedEntry } from './case.ts'
import { families } from './cases.ts'
import { compare } from './compare.ts'
import { differences, type Difference } from './differences.ts'
import { readGolden, writeGolden } from './golden.ts'
import { historyFault, inspect, type Bases, type Config, type Inspected, type Outcome } from './image.ts'
import { openBuildah } from './peers/buildah.ts'
import { openBuildKit } from './peers/buildkit.ts'
import type { OpenPeer, PeerName } from './peers/peer.ts'
import { buildCase, openBuilt, openTestStore } from './stave.ts'
import type { Entry } from './tree.ts'

const update = process.env['STAVE_TEST_UPDATE'] ?? ''
const live = update !== '' || process.env['STAVE_TEST_LIVE'] === '1'
const wanted = process.env['STAVE_TEST_CASES'] ?? ''
const peers: Readonly<Record<PeerName, OpenPeer>> = { buildah: openBuildah, buildkit: openBuildKit }
const peerNames = Object.keys(peers) as readonly PeerName[]

const chosen = Object.entries(families).map(([family, cases]) => [family, cases.filter(({ name }) => name.includes(wanted))] as const)
const all = chosen.flatMap(([, cases]) => cases)

interface Result extends Partial<Inspected> {
  readonly outcome: Outcome
  readonly config?: Config
}

const ours = new Map<Case, Result>()
const theirs = new Map<PeerName, ReadonlyMap<Case, Outcome> | string>()
const seen = new Set<string>()
const unavailable = whyNoContainers()
let work: string

beforeAll(async () => {
  if (unavailable !== undefined) return
  work = mkdtempSync(join(tmpdir(), 'stave-differential-'))
  await using store = await openTestStore(join(work, 'store'))
  const bases: Bases = new Map()
  const images = await importBases(store, work)
  for (const image of images.values()) {
    const built = await openBuilt(image)
    bases.set((built.config.rootfs.diff_ids ?? []).join(), (await inspect(built, new Map())).whole)
  }
  const directories = new Map<Case, string>()
  for (const [position, one] of all.entries()) directories.set(one, await lay(one, join(work, 'cases', `${position}`)))

  await concurrently(all, 2, async (one) => {
    ours.set(one, await buildWithStave(store, one, directories.get(one) as string, bases))
  })
  if (!live) return
  const archives = new Map<string, string>()
  for (const name of baseNames) {
    const file = join(work, `${name}.archive`)
    writeFileSync(file, await dockerArchive(images.get(name)!, name))
    archives.set(name, file)
  }
  await concurrently(peerNames, 2, async (name) => {
    theirs.set(name, await runPeer(name, archives, directories, bases))
  })
  const missing = [...theirs].filter(([, results]) => typeof results === 'string')
  if (update !== '' && missing.length > 0) throw new Error(`cannot update the golden results: ${missing.map(([, why]) => why).join('; ')}`)
}, 3_600_000)

afterAll(() => {
  if (work !== undefined) rmSync(work, { recursive: true, force: true })
}, 600_000)

/** Writes the context and the Dockerfile of a case. */
async function lay(one: Case, directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'Dockerfile'), one.dockerfile)
  await writeFiles(join(directory, 'context'), one.files ?? {})
  for (const [name, files] of Object.entries(one.contexts ?? {})) await writeFiles(join(directory, `context-${name}`), files)
  for (const [id, value] of Object.entries(one.secrets ?? {})) writeFileSync(join(directory, `secret-${id}`), value)
  return directory
}

async function buildWithStave(store: Parameters<typeof buildCase>[0], one: Case, directory: string, bases: Bases): Promise<Result> {
  let image
  try {
    image = await buildCase(store, one, directory)
  } catch (error) {
    return { outcome: { failed: messageOf(error) } }
  }
  const built = await openBuilt(image)
  return { ...(await inspect(built, bases)), config: built.config }
}

function messageOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause === undefined ? message : `${message}: ${messageOf(cause)}`
}

async function runPeer(
  name: PeerName,
  archives: ReadonlyMap<string, string>,
  directories: ReadonlyMap<Case, string>,
  bases: Bases,
): Promise<ReadonlyMap<Case, Outcome> | string> {
  const outcomes = new Map<Case, Outcome>()
  if (update === '1') {
    for (const one of all) {
      const outcome = kept(name, one)
      if (outcome !== undefined) outcomes.set(one, outcome)
    }
  }
  const peer = await peers[name](work, archives)
  if (typeof peer === 'string') return peer
  try {
    for (const one of all.filter((one) => !outcomes.has(one))) {
      const result = await peer.build(one, directories.get(one) as string)
      outcomes.set(one, 'failed' in result ? result : (await inspect(result.built, bases)).outcome)
      if (update !== '' && outcomes.size % 25 === 0) keep(name, outcomes)
    }
    return outcomes
  } finally {
    if (update !== '') keep(name, outcomes)
    await peer[Symbol.asyncDispose]()
  }
}

/** Writes golden results, also when some cases could not be judged. */
function keep(peer: PeerName, outcomes: ReadonlyMap<Case, Outcome>): void {
  for (const [family, cases] of Object.entries(families)) {
    const results = cases.map((one) => [one, outcomes.get(one) ?? kept(peer, one)] as const)
    writeGolden(peer, family, new Map(results.filter((pair): pair is [Case, Outcome] => pair[1] !== undefined)))
  }
}

/** The golden result, if there is one of this text of the case. */
function kept(peer: PeerName, one: Case): Outcome | undefined {
  const family = Object.entries(families).find(([, cases]) => cases.includes(one))?.[0] ?? ''
  try {
    return readGolden(peer, family).get(one)
  } catch {
    return undefined
  }
}

async function concurrently<T>(items: readonly T[], most: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: most }, worker))
}

for (const [family, cases] of chosen) {
  describe.skipIf(unavailable !== undefined)(family, () => {
    test.each(cases.map((one) => [one.name, one] as const))('%s', (_name, one) => {
      const result = ours.get(one)!
      if (one.fails !== undefined) {
        expect(result.outcome.failed).toContain(one.fails)
        return
      }
      if (result.outcome.failed !== undefined) throw new Error(`it was not built: ${result.outcome.failed}`)
      expect(historyFault(result.config!)).toBeUndefined()
      expectConfig(result, one.expect?.config ?? {})
      for (const [path, expected] of Object.entries(one.expect?.tree ?? {})) expectPath(result, path, expected)
    })

    for (const peer of peerNames) {
      const golden = live ? undefined : readGolden(peer, family)
      test.for(cases.map((one) => [one.name, one] as const))(`%s, by ${peer}`, ([_name, one], { skip }) => {
        const found = theirs.get(peer)
        if (typeof found === 'string') skip(`because ${found}`)
        const outcome = golden?.get(one) ?? (found as ReadonlyMap<Case, Outcome>).get(one)!
        const unexplained = compare(ours.get(one)!.outcome, outcome, one.ignore).filter((line) => explain(peer, one, line) === undefined)
        if (unexplained.length > 0) throw new Error(`unexplained differences:\n${unexplained.join('\n')}`)
      })
    }
  })
}

function explain(peer: PeerName, one: Case, line: string): Difference | undefined {
  const found = differences.filter(
    (difference) =>
      difference.peers.includes(peer) && (difference.cases === 'any' || difference.cases.includes(one.name)) && difference.line.test(line),
  )
  for (const difference of found) {
    const mark = `${differences.indexOf(difference)} ${peer}`
    seen.add(mark).add(`${mark} ${one.name}`)
  }
  return found[0]
}

function expectConfig({ outcome }: Result, expected: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(expected)) expect(outcome.config?.[field], field).toEqual(value)
}

function expectPath(result: Result, path: string, expected: string | ExpectedEntry | null): void {
  const entry = result.outcome.tree?.[path] ?? undefined
  if (expected === null) {
    expect(entry, path).toBeUndefined()
    return
  }
  expect(entry, path).toBeDefined()
  const { content, mode, ...rest } = typeof expected === 'string' ? ({ content: expected } as ExpectedEntry) : expected
  if (content !== undefined) expect(result.content?.(path), path).toBe(content)
  if (mode !== undefined) expect(entry?.mode, path).toBe(mode.toString(8).padStart(4, '0'))
  expect(entry as Entry, path).toMatchObject(rest)
}

describe.skipIf(unavailable !== undefined || wanted !== '')('explanations', () => {
  const claims = differences.flatMap((difference, position) => difference.peers.map((peer) => ({ ...difference, peer, position })))
  test.each(claims.map((claim) => [`${claim.peer}: ${claim.line.source}`, claim] as const))(
    'that still occurs: %s',
    (_title, { cases, peer, position }) => {
      if (typeof theirs.get(peer) === 'string') return
      const mark = `${position} ${peer}`
      const missing = cases === 'any' ? (seen.has(mark) ? [] : ['any']) : cases.filter((name) => !seen.has(`${mark} ${name}`))
      expect(missing).toEqual([])
    },
  )
})
