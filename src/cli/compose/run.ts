import { withNeeded } from '#compose/order.ts'
import type { Service } from '#compose/model.ts'
import { removeContainer } from '#container/container.ts'
import { startContainer } from '#container/start.ts'
import { randomHex } from '#store/random.ts'
import type { Invocation } from '../command.ts'
import { containerStdio } from '../containers/stdio.ts'
import { openSession } from '../session.ts'
import type { runFlags } from './commands.ts'
import { converge, makeContainer } from './converge.ts'
import { prepareImages } from './images.ts'
import { label, openProject } from './project.ts'
import { ensureNetworks, ensureVolumes } from './resources.ts'

/** Runs a command in a container of its own, beside what its service needs. @returns the command's exit status */
export async function run(invocation: Invocation<typeof runFlags>): Promise<number> {
  const { cx, flags, args, report, forwardSignals } = invocation
  const [name = '', ...command] = args
  await using session = await openSession(invocation.settings)
  const { store } = session
  const loaded = await openProject(invocation, [name])
  const { project } = loaded
  const needed = flags['no-deps'] ? [] : [...withNeeded(project.services, [name])].filter((other) => other !== name)
  if (flags.quiet) report.mode('quiet')
  const choices = { build: flags.build ?? false, noBuild: false, quiet: flags.quiet ?? false }
  await prepareImages(invocation as never, session, loaded, [...needed, name], choices)
  ensureNetworks(store, project, (text) => report.note(text))
  ensureVolumes(store, project, (text) => report.note(text))
  const pull = flags.pull === undefined || flags.pull === 'build' ? {} : { pull: flags.pull }
  await converge(invocation as never, session, loaded, {
    names: needed,
    scale: new Map(),
    recreate: 'changed',
    starts: true,
    freshVolumes: false,
    ...pull,
  })
  const hasTerminal = process.stdin.isTTY && process.stdout.isTTY
  const tty = flags.tty ?? (flags['no-tty'] !== true && flags.detach !== true && hasTerminal)
  const interactive = flags.interactive ?? flags.detach !== true
  const { restart: _restart, container_name: _name, ...service } = project.services[name] as Service
  const container = await makeContainer(invocation as never, session, loaded, name, {
    container: flags.name ?? `${project.name}-${name}-run-${randomHex(6)}`,
    labels: { [label.oneOff]: 'True' },
    definition: { ...withoutAliases(service, flags['use-aliases'] === true), tty, stdin_open: interactive },
    publishes: flags['service-ports'] ?? false,
    ...(command.length > 0 && { command }),
    ...pull,
    more: [
      ...flags.env.map((word) => `--env=${word}`),
      ...flags.label.map((word) => `--label=${word}`),
      ...flags.volume.map((word) => `--volume=${word}`),
      ...flags.publish.map((word) => `--publish=${word}`),
      ...flags['cap-add'].map((word) => `--cap-add=${word}`),
      ...flags['cap-drop'].map((word) => `--cap-drop=${word}`),
      ...(flags.user === undefined ? [] : [`--user=${flags.user}`]),
      ...(flags.workdir === undefined ? [] : [`--workdir=${flags.workdir}`]),
      ...(flags.entrypoint === undefined ? [] : [`--entrypoint=${flags.entrypoint}`]),
      ...(flags.rm ? ['--rm'] : []),
    ],
  })
  await report.settle()
  try {
    const result = await startContainer(cx, store, container, {
      detach: flags.detach ?? false,
      stdio: containerStdio({ interactive, tty, detach: flags.detach }),
      ...(!tty && { onStarted: (_: number, deliver: (signal: NodeJS.Signals) => void) => forwardSignals(deliver) }),
    })
    if (!result.detached) return result.exitCode ?? 0
    report.print(container.name)
    return 0
  } catch (error) {
    if (flags.rm) await removeContainer(cx, store, container, { force: true, volumes: true }).catch(() => undefined)
    throw error
  }
}

/** Nobody finds it by the service's name, as its containers do. Whoever names an entrypoint means the whole command. */
function withoutAliases(service: Service, keeps: boolean): Service {
  if (keeps || service.networks === undefined) return service
  const networks = Object.entries(service.networks).map(([key, place]) => {
    const { aliases: _aliases, ipv4_address: _v4, ipv6_address: _v6, mac_address: _mac, ...rest } = place ?? {}
    return [key, rest] as const
  })
  return { ...service, networks: Object.fromEntries(networks) }
}
