import type { Loaded } from '#compose/load.ts'
import type { Condition, Service } from '#compose/model.ts'
import { countOf } from '#compose/load.ts'
import { dependenciesOf, waves } from '#compose/order.ts'
import { removeContainer, type Container } from '#container/container.ts'
import { stopContainer, waitContainer } from '#container/control.ts'
import { startContainer } from '#container/start.ts'
import { StaveError } from '#error.ts'
import { newContainer } from '../containers/new-container.ts'
import { ownProgram } from '../own-program.ts'
import type { Session } from '../session.ts'
import { waitHealthy } from './health.ts'
import {
  containerName,
  hashOf,
  imageOf,
  invocationOf,
  isRunning,
  label,
  membersOf,
  registryWords,
  type Caller as AnyCaller,
  type Member,
} from './project.ts'
import { fileOf } from './resources.ts'
import { createWords } from './words.ts'

type Caller = AnyCaller & { readonly flags: Readonly<Record<string, never>> }

export interface Choices {
  /** The services that are brought to what the project says. */
  readonly names: readonly string[]
  readonly scale: ReadonlyMap<string, number>
  readonly recreate: 'changed' | 'always' | 'never'
  readonly starts: boolean
  readonly freshVolumes: boolean
  readonly stopSeconds?: number
  readonly pull?: string
}

/**
 * Brings services to what the project says: containers that are missing are made, those that have changed made anew, those that
 * are too many removed, and each is started once what it needs is ready.
 *
 * @returns the containers, in the order in which they were started
 */
export async function converge(caller: Caller, session: Session, loaded: Loaded, choices: Choices): Promise<readonly Member[]> {
  const { project } = loaded
  const result: Member[] = []
  const wanted = new Set(choices.names)
  for (const wave of waves(project.services)) {
    const here = wave.filter((name) => wanted.has(name))
    const made = await all(here.map((name) => service(caller, session, loaded, choices, name)))
    result.push(...made.flat())
  }
  return result
}

/** As Promise.all, but what was begun has ended when it fails. */
async function all<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return results.map((result) => (result as PromiseFulfilledResult<T>).value)
}

async function service(caller: Caller, session: Session, loaded: Loaded, choices: Choices, name: string): Promise<Member[]> {
  const { cx, report } = caller
  const { store } = session
  const { project } = loaded
  const definition = project.services[name] as Service
  const count = choices.scale.get(name) ?? countOf(definition)
  if (count > 1 && definition.container_name !== undefined)
    throw new StaveError('usage', `the service ${name} has a container_name, and can have one container only`)
  const there = membersOf(store, project.name).filter((member) => member.service === name && !member.isOneOff)
  for (const { container, number } of there) {
    if (number <= count) continue
    await removeContainer(cx, store, container, { force: true })
    report.note(`container ${container.name} removed`)
  }
  const members: Member[] = []
  if (choices.starts && count > 0) await waitForNeeds(caller, session, loaded, name, definition, choices)
  for (let number = 1; number <= count; number++) {
    const before = there.find((member) => member.number === number)?.container
    const container = await one(caller, session, loaded, choices, name, number, before)
    members.push({ container, service: name, number, isOneOff: false })
  }
  if (choices.starts) {
    await all(
      members.map(async ({ container }) => {
        if (isRunning(container)) return
        await startContainer(cx, store, container, {
          detach: true,
          stdio: { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' },
          program: ownProgram(caller.settings),
        })
        report.note(`container ${container.name} started`)
      }),
    )
  }
  return members
}

async function one(
  caller: Caller,
  session: Session,
  loaded: Loaded,
  choices: Choices,
  name: string,
  number: number,
  before: Container | undefined,
): Promise<Container> {
  const { cx, report } = caller
  const { store } = session
  const definition = loaded.project.services[name] as Service
  if (before !== undefined) {
    const isSame = before.labels[label.hash] === hashOf(definition) && (await hasImage(caller, session, loaded, name, before))
    if (choices.recreate === 'never' || (choices.recreate === 'changed' && isSame)) return before
    await stopContainer(cx, store, before, choices.stopSeconds)
    await removeContainer(cx, store, before, { volumes: choices.freshVolumes })
  }
  const kept = before === undefined || choices.freshVolumes ? [] : anonymousMounts(before, definition)
  const container = await makeContainer(caller, session, loaded, name, {
    container: containerName(loaded.project, name, definition, number),
    labels: { [label.number]: String(number), [label.oneOff]: 'False' },
    more: kept,
    ...(choices.pull !== undefined && { pull: choices.pull }),
  })
  report.note(`container ${container.name} ${before === undefined ? 'created' : 'made anew'}`)
  return container
}

/** Was it made of the image that its name stands for now? */
async function hasImage({ cx }: Caller, { store }: Session, { project }: Loaded, name: string, container: Container): Promise<boolean> {
  try {
    const root = await store.resolve(cx, imageOf(project, name, project.services[name] as Service))
    if (root.digest === container.manifest.digest) return true
    const { openImage } = await import('#image/image.ts')
    const { hostPlatform, parsePlatform } = await import('#oci/platform.ts')
    const wanted = project.services[name]?.platform
    const image = await openImage(cx, store, root, wanted === undefined ? hostPlatform(process.arch) : parsePlatform(wanted))
    return image.manifest.config.digest === container.imageId
  } catch {
    // It is not here: what was made of it may stay.
    return true
  }
}

/** What a container kept in volumes without a name goes on in the one that takes its place. */
function anonymousMounts(before: Container, definition: Service): readonly string[] {
  const taken = new Set((definition.volumes ?? []).flatMap(({ source, target }) => (source === undefined ? [] : [target])))
  return before.spec.mounts.flatMap((mount) =>
    mount.type === 'volume' && mount.name !== undefined && before.anonymousVolumes.includes(mount.name) && !taken.has(mount.target)
      ? ['--mount', `type=volume,src=${mount.name},dst=${mount.target}`]
      : [],
  )
}

export interface MakeOptions {
  readonly container: string
  readonly labels: Readonly<Record<string, string>>
  /** More words of `stave create`. */
  readonly more?: readonly string[]
  /** In place of the service's command. */
  readonly command?: readonly string[]
  readonly definition?: Service
  readonly publishes?: boolean
  readonly pull?: string
}

/** Makes a container of a service, without starting it. */
export async function makeContainer(
  caller: Caller,
  session: Session,
  loaded: Loaded,
  name: string,
  options: MakeOptions,
): Promise<Container> {
  const { project } = loaded
  const definition = options.definition ?? project.services[name]!
  const words = createWords({
    project,
    name,
    service: withoutKept(definition, options.more ?? []),
    container: options.container,
    image: imageOf(project, name, definition),
    labels: {
      [label.project]: project.name,
      [label.service]: name,
      [label.hash]: hashOf(project.services[name] as Service),
      [label.directory]: loaded.directory,
      [label.files]: loaded.files.join(','),
      ...options.labels,
    },
    fileOf: fileOf(session.store, project.name, caller.settings.env),
    containerOf: (other) => containerName(project, other, project.services[other] as Service, 1),
    ...(options.publishes !== undefined && { publishes: options.publishes }),
  })
  const pull = pullWord(options.pull ?? definition.pull_policy, definition)
  const invocation = invocationOf(caller, 'create', [
    ...words.flags,
    ...(pull === undefined ? [] : ['--pull', pull]),
    ...registryWords(caller.flags),
    ...(options.more ?? []),
    '--',
    words.image,
    ...(options.command ?? words.command),
  ])
  try {
    return await newContainer(invocation as never, session)
  } catch (error) {
    if (!(error instanceof StaveError)) throw error
    throw new StaveError(error.code, `cannot make the service ${name}: ${error.message}`, {
      cause: error.cause,
      exitCode: 1,
      ...(error.hint !== undefined && { hint: error.hint }),
    })
  }
}

/** An anonymous volume that is kept stands in the place of the one that the service asks for. */
function withoutKept(definition: Service, more: readonly string[]): Service {
  const targets = more.flatMap((word) => /,dst=(.*)$/.exec(word)?.[1] ?? [])
  if (targets.length === 0 || definition.volumes === undefined) return definition
  return { ...definition, volumes: definition.volumes.filter(({ source, target }) => source !== undefined || !targets.includes(target)) }
}

function pullWord(policy: string | undefined, definition: Service): string | undefined {
  if (policy === undefined || policy === 'build' || policy === 'if_not_present') return undefined
  if (policy === 'always' && definition.build !== undefined) return undefined
  if (policy === 'daily' || policy === 'weekly' || policy.startsWith('every_')) return 'newer'
  return policy
}

async function waitForNeeds(
  caller: Caller,
  session: Session,
  loaded: Loaded,
  name: string,
  definition: Service,
  choices: Choices,
): Promise<void> {
  for (const [other, { condition, required }] of Object.entries(dependenciesOf(definition))) {
    if (!choices.names.includes(other)) continue
    try {
      await waitForService(caller, session, loaded, other, condition)
    } catch (error) {
      if (required !== false)
        throw new StaveError('container-start', `cannot start the service ${name}: it needs ${other}`, { cause: error, exitCode: 1 })
      caller.report.event({ type: 'warning', message: `the service ${name} is started without ${other}`, hint: (error as Error).message })
    }
  }
}

/** Waits until all containers of a service are in a state. @throws StaveError if they cannot come to it any more */
export async function waitForService(
  { cx, report }: Pick<Caller, 'cx' | 'report'>,
  { store }: Session,
  { project }: Loaded,
  name: string,
  condition: Condition,
): Promise<void> {
  const members = membersOf(store, project.name).filter((member) => member.service === name && !member.isOneOff)
  await all(
    members.map(async ({ container }) => {
      if (condition === 'service_completed_successfully') {
        const code = await waitContainer(cx, store, container)
        if (code !== 0) throw new StaveError('container-state', `the container ${container.name} ended with status ${code}`)
      } else if (condition === 'service_healthy') {
        await waitHealthy(cx, store, container)
        report.note(`container ${container.name} healthy`)
      }
    }),
  )
}
