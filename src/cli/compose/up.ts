import { setTimeout as delay } from 'node:timers/promises'
import { removeContainer } from '#container/container.ts'
import { killContainer, stopContainer, waitContainer } from '#container/control.ts'
import { StaveError } from '#error.ts'
import { withNeeded } from '#compose/order.ts'
import type { Loaded } from '#compose/load.ts'
import type { Invocation, Values } from '../command.ts'
import { openSession, type Session } from '../session.ts'
import type { createFlags, upFlags } from './commands.ts'
import { converge, waitForService } from './converge.ts'
import { prepareImages } from './images.ts'
import { showLines } from './log-lines.ts'
import { isRunning, membersOf, openProject, type Member } from './project.ts'
import { ensureNetworks, ensureVolumes } from './resources.ts'
import { withoutEffect } from './words.ts'

/** Starts services and shows what they write, until they have ended or Ctrl-C stops them. */
export async function run(invocation: Invocation<typeof upFlags>): Promise<number> {
  const { flags, args, report } = invocation
  await using session = await openSession(invocation.settings)
  const loaded = await openProject(invocation, args)
  const names =
    flags['no-deps'] && args.length > 0
      ? args
      : [...withNeeded(loaded.project.services, args.length > 0 ? args : Object.keys(loaded.project.services))]
  const members = await bringUp(invocation, session, loaded, names, {
    starts: flags['no-start'] !== true,
    freshVolumes: flags['renew-anon-volumes'] ?? false,
    ...(flags.timeout !== undefined && { stopSeconds: flags.timeout }),
    ...(flags['always-recreate-deps'] && { recreate: 'always' as const }),
  })
  await report.settle()
  if (flags['no-start']) return 0
  if (flags.wait) {
    await waitForAll(invocation, session, loaded, names)
    return 0
  }
  if (flags.detach) return 0
  return await attend(invocation, session, members)
}

/** Images, networks, volumes, and then containers. */
export async function bringUp(
  invocation: Invocation<typeof createFlags>,
  session: Session,
  loaded: Loaded,
  names: readonly string[],
  options: { readonly starts: boolean; readonly freshVolumes: boolean; readonly stopSeconds?: number; readonly recreate?: 'always' },
): Promise<readonly Member[]> {
  const { flags, report, cx } = invocation
  const say = (text: string): void => report.note(text)
  const { store } = session
  await handleOrphans(invocation, session, loaded)
  for (const name of names) {
    const keys = withoutEffect(loaded.project.services[name]!)
    if (keys.length > 0) report.event({ type: 'warning', message: `the service ${name}: without effect here: ${keys.join(', ')}` })
  }
  await prepareImages(invocation as never, session, loaded, names, {
    build: (flags.build ?? false) || flags.pull === 'build',
    noBuild: flags['no-build'] ?? false,
    quiet: flags['quiet-pull'] ?? false,
  })
  cx.signal.throwIfAborted()
  ensureNetworks(store, loaded.project, say)
  ensureVolumes(store, loaded.project, say)
  return converge(invocation as never, session, loaded, {
    names,
    scale: scaleOf(flags, loaded),
    recreate: options.recreate ?? (flags['force-recreate'] ? 'always' : flags['no-recreate'] ? 'never' : 'changed'),
    starts: options.starts,
    freshVolumes: options.freshVolumes,
    ...(options.stopSeconds !== undefined && { stopSeconds: options.stopSeconds }),
    ...(flags.pull !== undefined && flags.pull !== 'build' && { pull: flags.pull }),
  })
}

function scaleOf(flags: Values<typeof createFlags>, { project }: Loaded): ReadonlyMap<string, number> {
  return new Map(
    flags.scale.map((word): [string, number] => {
      const [name = '', count = ''] = word.split('=')
      if (!/^\d{1,5}$/.test(count)) throw new StaveError('usage', `--scale takes SERVICE=N, not ${JSON.stringify(word)}`)
      if (!Object.hasOwn(project.services, name)) throw new StaveError('usage', `--scale ${word}: there is no service ${name}`)
      return [name, Number(count)]
    }),
  )
}

/** Containers of services that are no longer defined. */
async function handleOrphans({ cx, flags, report }: Invocation<typeof createFlags>, { store }: Session, loaded: Loaded): Promise<void> {
  const orphans = membersOf(store, loaded.project.name).filter(({ service, isOneOff }) => !isOneOff && !Object.hasOwn(loaded.all, service))
  if (orphans.length === 0) return
  if (!flags['remove-orphans']) {
    report.event({
      type: 'warning',
      message: `there are containers of services that are not defined: ${orphans.map(({ container }) => container.name).join(', ')}`,
      hint: 'Remove them with --remove-orphans.',
    })
    return
  }
  for (const { container } of orphans) {
    await stopContainer(cx, store, container)
    await removeContainer(cx, store, container, { force: true })
    report.note(`container ${container.name} removed`)
  }
}

async function waitForAll(
  invocation: Invocation<typeof upFlags>,
  session: Session,
  loaded: Loaded,
  names: readonly string[],
): Promise<void> {
  const { flags, cx } = invocation
  const late = flags['wait-timeout'] === undefined ? undefined : AbortSignal.timeout(flags['wait-timeout'] * 1000)
  const inTime = late === undefined ? cx : { ...cx, signal: AbortSignal.any([cx.signal, late]) }
  try {
    for (const name of names) {
      const members = membersOf(session.store, loaded.project.name).filter(({ service, isOneOff }) => service === name && !isOneOff)
      const hasCheck = members.some(({ container }) => container.health !== undefined)
      await waitForService(
        { cx: inTime, report: invocation.report },
        session,
        loaded,
        name,
        hasCheck ? 'service_healthy' : 'service_started',
      )
      for (const { container } of membersOf(session.store, loaded.project.name).filter(({ service }) => service === name)) {
        if (!isRunning(container) && container.status.exitCode !== 0)
          throw new StaveError('container-state', `the container ${container.name} ended with status ${container.status.exitCode}`)
      }
    }
  } catch (error) {
    if (late?.aborted && !cx.signal.aborted)
      throw new StaveError('timeout', `the services were not ready within ${flags['wait-timeout']} seconds`)
    throw error
  }
}

/** Shows what containers write until all have ended. The first Ctrl-C stops them, the next kills them. */
async function attend(invocation: Invocation<typeof upFlags>, { store }: Session, members: readonly Member[]): Promise<number> {
  const { cx, flags, report, forwardSignals } = invocation
  const stopAll = async (): Promise<void> => {
    // In the other direction: what others need ends last.
    for (const { container } of members.toReversed()) await stopContainer(cx, store, container, flags.timeout)
  }
  let signals = 0
  let stopping: Promise<void> | undefined
  forwardSignals(() => {
    if (signals++ === 0) {
      report.note('stopping; Ctrl-C again kills')
      stopping = stopAll()
      stopping.catch((error: unknown) => report.error(error))
    } else for (const { container } of members) killContainer(cx, store, container, 'KILL', { wait: true }).catch(() => undefined)
  })
  const shown = members.filter(
    ({ service }) => (flags.attach.length === 0 || flags.attach.includes(service)) && !flags['no-attach'].includes(service),
  )
  const output = showLines(cx, store, shown, {
    follow: true,
    prefix: flags['no-log-prefix'] !== true,
    color: report.color && flags['no-color'] !== true,
    timestamps: flags.timestamps ?? false,
  })
  const codes = new Map<string, number>()
  const ended = members.map(async ({ container, service }) => {
    const code = await waitContainer(cx, store, container)
    codes.set(container.name, code)
    report.note(`container ${container.name} ended with status ${code}`)
    return { service, code }
  })
  let status = 0
  if (flags['exit-code-from'] !== undefined || flags['abort-on-container-exit'] || flags['abort-on-container-failure']) {
    const from = flags['exit-code-from']
    const decisive = flags['abort-on-container-failure']
      ? ended.map((one) => one.then((end) => (end.code === 0 ? Promise.race([]) : end)))
      : ended
    const first = await Promise.race([...decisive, Promise.all(ended).then((all) => all.at(-1)!)])
    await (stopping ?? stopAll())
    const all = await Promise.all(ended)
    status = from === undefined ? first.code : (all.find(({ service }) => service === from)?.code ?? 0)
  } else await Promise.all(ended)
  await stopping
  // What was written last is still on its way out of the log.
  await Promise.race([output, delay(2000, undefined, { ref: false })])
  return signals > 0 && flags['exit-code-from'] === undefined ? 130 : status
}
