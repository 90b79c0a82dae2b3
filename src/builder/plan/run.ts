import type { InstructionOf } from '#dockerfile/instruction.ts'
import type { ExecMount, ExecOp, Step } from './step.ts'
import { posix } from 'node:path'
import { StaveError } from '#error.ts'
import { createdByRun } from '#dockerfile/history.ts'
import { parseDevice, parseMount, type Mount } from '#dockerfile/mount.ts'
import { runCommand } from '#dockerfile/run.ts'
import { originOf } from './planner.ts'
import { contextStep, push, shellOf, sourceStep, type Draft } from './draft.ts'

/** RUN: a step that executes a command on the state before it. @see builder reference 1.5 */
export function planRun(draft: Draft, instruction: InstructionOf<'RUN'>): void {
  const { scope, planner } = draft
  const { span } = instruction
  const { args, script } = runCommand(instruction, shellOf(draft))
  if (args.length === 0) throw new StaveError('dockerfile', 'cannot RUN nothing: the command is empty', { span })
  const inputs: Step[] = []
  const mounts: ExecMount[] = []
  let agents = 0
  for (const text of instruction.mounts) {
    const mount = parseMount(text, (word) => scope.expand(word, span))
    if (mount.type === 'secret' || mount.type === 'ssh') refuseForeign(draft, instruction, `--mount=type=${mount.type}`)
    mounts.push(placed(draft, instruction, mount, inputs, mount.type === 'ssh' ? agents++ : 0))
  }
  const insecure = instruction.security === 'insecure'
  if (insecure) refuseForeign(draft, instruction, '--security=insecure')
  if (instruction.devices.length > 0) refuseForeign(draft, instruction, '--device')
  if (insecure && !planner.options.allow.includes('security.insecure')) {
    throw new StaveError('dockerfile', 'cannot RUN --security=insecure: it was not allowed', {
      span,
      hint: 'Allow it with --allow security.insecure, if you trust this Dockerfile with the whole machine.',
    })
  }
  const devices = instruction.devices.map((device) => parseDevice(device))
  if (devices.length > 0 && !planner.options.allow.includes('device')) {
    throw new StaveError('dockerfile', `cannot RUN --device=${devices[0]?.name}: devices were not allowed`, {
      span,
      hint: 'Allow them with --allow device.',
    })
  }
  const network = instruction.network
  if (network === 'host' && planner.options.network === 'none' && !planner.options.allow.includes('network.host')) {
    throw new StaveError('dockerfile', 'cannot RUN --network=host: the build has --network none', {
      span,
      hint: 'Allow it with --allow network.host.',
    })
  }
  const user = draft.config.User
  const hostname = planner.options.buildArgs.get('BUILDKIT_SANDBOX_HOSTNAME')
  const op: ExecOp = {
    kind: 'exec',
    args,
    env: scope.runEnv(),
    cwd: posix.resolve('/', draft.config.WorkingDir || '/'),
    ...(user === undefined || user === '' ? {} : { user }),
    ...(hostname === undefined || hostname === '' ? {} : { hostname }),
    network: network === 'none' ? 'none' : network === 'host' ? 'host' : planner.options.network,
    ...(insecure ? { insecure } : {}),
    mounts,
    ...(devices.length > 0 ? { devices } : {}),
    ...(script !== undefined && { script }),
    ...(planner.options.hosts.length > 0 ? { hosts: planner.options.hosts } : {}),
    ...(planner.options.sandbox !== undefined && { sandbox: planner.options.sandbox }),
    platform: draft.platform,
    proxyEnv: scope.proxyEnv(),
    shell: shellOf(draft),
  }
  push(draft, instruction, `RUN ${createdByRun(args, scope.runArgs())} # stave`, op, inputs)
}

/** What was given to a build was given to its Dockerfile. A base image was written by others. */
function refuseForeign(draft: Draft, instruction: InstructionOf<'RUN'>, flag: string): void {
  if (!draft.planner.foreign.has(instruction)) return
  throw new StaveError('denied', `cannot RUN ${flag}: an ONBUILD of the base image asks for it, and not the Dockerfile`, {
    span: instruction.span,
    hint: 'If it shall have that, write the RUN into the Dockerfile, below the FROM.',
  })
}

function placed(draft: Draft, instruction: InstructionOf<'RUN'>, mount: Mount, inputs: Step[], agent: number): ExecMount {
  const { span } = instruction
  const absolute = (path: string): string => posix.resolve('/', draft.config.WorkingDir || '/', path)
  const input = (from: string | undefined): number => {
    const step =
      from === undefined
        ? contextStep(draft.planner)
        : sourceStep(draft.planner, originOf(draft.planner, draft.stage, from, instruction), draft.stage, span)
    const known = inputs.indexOf(step)
    return known >= 0 ? known : inputs.push(step) - 1
  }
  switch (mount.type) {
    case 'bind':
      return {
        type: 'bind',
        target: rootless(absolute(mount.target), instruction),
        ...(mount.from === 'scratch' ? {} : { input: input(mount.from) }),
        source: posix.resolve('/', mount.source),
        readonly: mount.readonly,
      }
    case 'cache': {
      const { id, sharing, readonly, mode, uid, gid } = mount
      return {
        type: 'cache',
        target: rootless(absolute(mount.target), instruction),
        id,
        sharing,
        readonly,
        ...(mount.from === undefined || mount.from === 'scratch' ? {} : { input: input(mount.from) }),
        source: posix.resolve('/', mount.source),
        ...(mode !== undefined && { mode }),
        ...(uid !== undefined && { uid }),
        ...(gid !== undefined && { gid }),
      }
    }
    case 'tmpfs':
      return { ...mount, target: rootless(absolute(mount.target), instruction) }
    case 'secret':
      return { ...mount, ...(mount.target !== undefined && { target: absolute(mount.target) }) }
    case 'ssh':
      return { ...mount, target: mount.target === undefined ? `/run/buildkit/ssh_agent.${agent}` : absolute(mount.target) }
  }
}

/** A mount over the root would hide all that the command needs. */
function rootless(target: string, instruction: InstructionOf<'RUN'>): string {
  if (target === '/')
    throw new StaveError('dockerfile', 'cannot mount over /', { span: instruction.span, hint: 'Give the mount another target.' })
  return target
}
