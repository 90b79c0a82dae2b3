import { resolve } from 'node:path'
import type { Project, Service } from '#compose/model.ts'
import { loadProject, type Loaded } from '#compose/load.ts'
import { listContainers, type Container } from '#container/container.ts'
import { StaveError } from '#error.ts'
import { digestHex, digestOf } from '#oci/digest.ts'
import type { LocalStore } from '#store/open.ts'
import type { Invocation, Values } from '../command.ts'
import { commandNamed } from '../commands.ts'
import { parseFlags } from '../parse.ts'
import type { projectFlags } from './commands.ts'

/** As docker compose writes them: both find each other's containers. */
export const label = {
  project: 'com.docker.compose.project',
  service: 'com.docker.compose.service',
  number: 'com.docker.compose.container-number',
  oneOff: 'com.docker.compose.oneoff',
  hash: 'com.docker.compose.config-hash',
  directory: 'com.docker.compose.project.working_dir',
  files: 'com.docker.compose.project.config_files',
  network: 'com.docker.compose.network',
  volume: 'com.docker.compose.volume',
} as const

type ComposeInvocation = Pick<Invocation<typeof projectFlags>, 'settings' | 'report'> & { readonly flags: Values<typeof projectFlags> }

/** Reads the project that the flags name. @param services those that were asked for by name */
export async function openProject({ flags, settings, report }: ComposeInvocation, services: readonly string[] = []): Promise<Loaded> {
  if (flags.progress !== undefined) report.mode(flags.progress as 'auto')
  const usesStdin = flags.file.includes('-')
  return loadProject({
    cwd: settings.cwd,
    env: settings.env,
    files: flags.file,
    ...(usesStdin && { stdin: await readStdin() }),
    ...(flags['project-directory'] !== undefined && { directory: resolve(settings.cwd, flags['project-directory']) }),
    ...(flags['project-name'] !== undefined && { name: flags['project-name'] }),
    profiles: flags.profile,
    envFiles: flags['env-file'],
    services,
    warn: (message) => report.event({ type: 'warning', message }),
  })
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * The project's name and, where its file can be read, what it says. Commands about containers that are there need no file:
 * `-p NAME` is enough.
 */
export async function openNamed(invocation: ComposeInvocation): Promise<{ readonly name: string; readonly loaded: Loaded | undefined }> {
  const name = invocation.flags['project-name']
  try {
    const loaded = await openProject({ ...invocation, flags: { ...invocation.flags, profile: ['*'] } })
    return { name: loaded.project.name, loaded }
  } catch (error) {
    if (name === undefined || !(error instanceof StaveError) || error.code !== 'not-found') throw error
    return { name, loaded: undefined }
  }
}

export interface Member {
  readonly container: Container
  readonly service: string
  readonly number: number
  readonly isOneOff: boolean
}

/** The containers of a project, by service and number. */
export function membersOf(store: LocalStore, project: string): readonly Member[] {
  return listContainers(store)
    .filter(({ labels }) => labels[label.project] === project)
    .map((container) => ({
      container,
      service: container.labels[label.service] ?? '',
      number: Number(container.labels[label.number] ?? 1),
      isOneOff: container.labels[label.oneOff] === 'True',
    }))
    .toSorted((a, b) => (a.service === b.service ? a.number - b.number : a.service < b.service ? -1 : 1))
}

/** Those of services that were named, or all. @throws StaveError `not-found` for a service that has none and is not defined */
export function chosenMembers(
  store: LocalStore,
  { name, loaded }: { readonly name: string; readonly loaded: Loaded | undefined },
  services: readonly string[],
  options: { readonly oneOff?: boolean } = {},
): readonly Member[] {
  const members = membersOf(store, name).filter(({ isOneOff }) => options.oneOff === true || !isOneOff)
  for (const service of services) {
    const isKnown = members.some((member) => member.service === service) || (loaded !== undefined && Object.hasOwn(loaded.all, service))
    if (!isKnown) throw new StaveError('not-found', `there is no service ${service} in the project ${name}`)
  }
  return services.length === 0 ? members : members.filter(({ service }) => services.includes(service))
}

/** The container of a service that a command is for. @throws StaveError `not-found` */
export function memberOf(store: LocalStore, project: string, service: string, index: number | undefined): Container {
  const found = membersOf(store, project).filter((member) => member.service === service && !member.isOneOff)
  const member =
    index === undefined ? (found.find(({ container }) => isRunning(container)) ?? found[0]) : found.find(({ number }) => number === index)
  if (member !== undefined) return member.container
  const which = index === undefined ? '' : ` number ${index}`
  throw new StaveError('not-found', `the service ${service} of the project ${project} has no container${which}`, {
    hint: 'Start it with stave compose up.',
  })
}

export function isRunning({ status }: Container): boolean {
  return status.state === 'running' || status.state === 'paused'
}

/** What a service's image is called that has no name of its own. */
export function imageOf(project: Pick<Project, 'name'>, name: string, service: Service): string {
  return service.image ?? `${project.name}-${name}`
}

export function containerName(project: Pick<Project, 'name'>, name: string, service: Service, number: number): string {
  return service.container_name ?? `${project.name}-${name}-${number}`
}

/** Changes with all that makes another container of a service; how many there are, and what it waits for, does not. */
export function hashOf(service: Service): string {
  const { scale: _scale, deploy, depends_on: _needs, profiles: _profiles, build: _build, pull_policy: _pull, ...rest } = service
  const { replicas: _replicas, ...deployed } = deploy ?? {}
  return digestHex(digestOf(JSON.stringify({ ...rest, deploy: deployed })))
}

/** What a command is called with that calls another. */
export type Caller = Pick<Invocation, 'cx' | 'settings' | 'report' | 'forwardSignals' | 'shareSignals'>

/** Runs another command with words of its own, of which only what it reports is seen, and not its result. */
export async function runCommand(invocation: Caller, name: string, words: readonly string[]): Promise<number> {
  const inner = invocationOf(invocation, name, words)
  const { run } = await commandNamed(name)!.load!()
  return (await run(inner as never)) ?? 0
}

/** What another command would be given for these words. */
export function invocationOf(
  { cx, settings, report, forwardSignals, shareSignals }: Caller,
  name: string,
  words: readonly string[],
): Invocation {
  const parsed = parseFlags(commandNamed(name)!, {}, words)
  return {
    cx,
    settings,
    report: { ...report, print: () => undefined, json: () => undefined },
    forwardSignals,
    shareSignals,
    flags: parsed.values as never,
    args: parsed.operands,
  }
}

/** The flags about registries, as words for another command. */
export function registryWords(
  flags: Readonly<Record<string, boolean | string | number | readonly string[] | undefined>>,
): readonly string[] {
  const names = ['tls-verify', 'creds', 'no-creds', 'authfile', 'cert-dir', 'signature-policy', 'insecure-policy', 'registries.d']
  return names.flatMap((name) => (flags[name] === undefined ? [] : [`--${name}=${String(flags[name])}`]))
}
