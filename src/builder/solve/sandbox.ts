import type { Context } from '#context.ts'
import type { Place, RunMount, RunSpec } from '#runner/protocol.ts'
import { hostsText, resolverText, withOwnName } from '#sandbox/names.ts'
import type { Sandbox } from '../options.ts'
import type { Session } from '../session.ts'
import type { Solved } from '../solved.ts'
import type { ExecOp, Step } from '../plan/step.ts'
import { closeSync, constants, existsSync, openSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { StaveError } from '#error.ts'
import { treeOf } from '../solved.ts'

const cdiDirectories = ['/etc/cdi', '/var/run/cdi']

/** What root in a container may do; the same set as Docker's. */
const capabilities: readonly string[] = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

/** Processes of Debian and Alpine look their host name up: it must be in /etc/hosts. */
const defaultHostname = 'buildkitsandbox'

/** A RUN, with what its mounts are of. */
export interface Command {
  readonly step: Step
  readonly op: ExecOp
  /** Those of the step. */
  readonly inputs: readonly Solved[]
}

/** What a mount gives to a command. */
interface Given {
  readonly mounts?: readonly RunMount[]
  readonly env?: readonly string[]
}

type MountOf<T extends ExecOp['mounts'][number]['type']> = Extract<ExecOp['mounts'][number], { type: T }>

/**
 * What a command of a step gets to see and may do.
 *
 * @param held what is to be closed after it has ended
 */
export async function sandboxOf(cx: Context, session: Session, command: Command, held: AsyncDisposableStack): Promise<RunSpec> {
  const { options } = session
  const { sandbox = {} } = options
  const { op, step } = command
  const given: Given[] = []
  for (const mount of op.mounts) given.push(await give(cx, session, command, mount, held))
  const devices = [
    ...(sandbox.devices ?? []),
    ...(op.devices ?? []).filter((device) => isThere(device, step)).map(({ name }) => ({ path: name, target: name, access: 'rwm' })),
  ]
  return {
    args: op.args,
    env: [
      ...op.env,
      ...op.proxyEnv.filter((entry) => !op.env.some((own) => own.startsWith(`${entry.split('=')[0]}=`))),
      ...given.flatMap(({ env = [] }) => env),
    ],
    cwd: op.cwd,
    makeCwd: true,
    ...(op.user !== undefined && { user: op.user }),
    hostname: op.hostname ?? defaultHostname,
    namespaces: { network: op.network },
    capabilities: sandbox.capabilities ?? capabilities,
    ...(sandbox.noNewPrivileges === true && { noNewPrivileges: true }),
    seccomp: op.insecure === true ? 'unconfined' : (sandbox.seccomp ?? 'default'),
    ...(op.insecure === true && { privileged: true }),
    mounts: [...hostFiles(session, op), ...hostBinds(sandbox, held), ...given.flatMap(({ mounts = [] }) => mounts), ...scriptOf(op)],
    ...(devices.length > 0 && { devices }),
    ...(sandbox.resources !== undefined && { resources: sandbox.resources }),
    ...(options.ulimits !== undefined && { ulimits: options.ulimits }),
    ...(options.shmBytes !== undefined && { shmBytes: options.shmBytes }),
  }
}

async function give(
  cx: Context,
  session: Session,
  command: Command,
  mount: ExecOp['mounts'][number],
  held: AsyncDisposableStack,
): Promise<Given> {
  switch (mount.type) {
    case 'bind':
      return giveTree(command, mount)
    case 'cache':
      return giveCache(cx, session, command, mount, held)
    case 'tmpfs':
      return { mounts: [{ type: 'tmpfs', target: mount.target, ...(mount.sizeBytes !== undefined && { sizeBytes: mount.sizeBytes }) }] }
    case 'secret':
      return giveSecret(session, command, mount)
    case 'ssh':
      return giveAgent(session, command, mount, held)
  }
}

type InputTree = Exclude<Solved, { kind: 'file' }>

function inputOf({ inputs }: Command, input: number | undefined): InputTree | undefined {
  return input === undefined ? undefined : (inputs[input] as InputTree)
}

async function giveTree(command: Command, { input: at, source, target, readonly }: MountOf<'bind'>): Promise<Given> {
  const input = inputOf(command, at)
  const from = input === undefined ? ({ kind: 'lowers', lowers: [] } as const) : await treeOf(input)
  const ignore = input?.kind === 'directory' && input.ignore.length > 0 ? { ignore: input.ignore } : {}
  return { mounts: [{ type: 'tree', from, path: source, target, readonly, ...ignore }] }
}

async function giveCache(
  cx: Context,
  session: Session,
  command: Command,
  mount: MountOf<'cache'>,
  held: AsyncDisposableStack,
): Promise<Given> {
  const { openCacheMount } = await import('./cache-mount.ts')
  const input = inputOf(command, mount.input)
  const open = await openCacheMount(cx, session.store, {
    mount,
    namespace: session.options.buildArgs?.['BUILDKIT_CACHE_MOUNT_NS'] ?? '',
    from: input === undefined ? undefined : await treeOf(input),
    fromId: input?.kind === 'state' ? await input.id : '',
    remote: session.remote,
    fresh: command.step.useCache ? undefined : session,
  })
  held.use(open)
  return { mounts: [{ type: 'bind', source: open.place, target: mount.target, readonly: mount.readonly }] }
}

/** A secret that was not given and is not required is left out. */
function giveSecret({ secrets }: Session, { step }: Command, { id, required, target, mode, uid, gid, env }: MountOf<'secret'>): Given {
  const value = secrets.get(id, required, step.span)
  if (value === undefined) return {}
  const base64 = Buffer.from(value).toString('base64')
  return {
    ...(target !== undefined && { mounts: [{ type: 'content', target, base64, mode, uid, gid }] }),
    ...(env !== undefined && { env: [`${env}=${Buffer.from(value).toString()}`] }),
  }
}

/** An agent that was not given and is not required is left out. */
async function giveAgent(
  { options }: Session,
  { step: { span } }: Command,
  mount: MountOf<'ssh'>,
  held: AsyncDisposableStack,
): Promise<Given> {
  const agent = options.ssh?.find(({ id }) => id === mount.id)
  if (agent === undefined) {
    if (!mount.required) return {}
    throw new StaveError('secret-missing', `cannot mount the SSH agent ${JSON.stringify(mount.id)}: it was not given`, {
      hint: `Give it with --ssh ${mount.id}.`,
      ...(span !== undefined && { span }),
    })
  }
  const { openAgentSocket } = await import('./ssh-agent.ts')
  const socket = await openAgentSocket(realpathSync(agent.socket), mount, held)
  const { target, uid, gid } = mount
  return {
    mounts: [{ type: 'bind', source: hostFile(socket, held), target, file: true, owner: [uid, gid] }],
    env: [`SSH_AUTH_SOCK=${target}`],
  }
}

/** A heredoc that names its interpreter is a file that is executed. */
function scriptOf({ script }: ExecOp): readonly RunMount[] {
  if (script === undefined) return []
  const base64 = Buffer.from(script.content).toString('base64')
  return [{ type: 'content', target: `/dev/pipes/${script.name}`, base64, mode: 0o755 }]
}

/** A device that is not there is an error where it is required, and else left out. */
function isThere({ name, required }: NonNullable<ExecOp['devices']>[number], { span }: Step): boolean {
  const path = name.startsWith('/')
  if (path && existsSync(name)) return true
  // Names of the Container Device Interface are not known here: where the machine has some, none may be missing silently.
  if (!required && (path || !cdiDirectories.some((directory) => existsSync(directory)))) return false
  throw new StaveError('not-found', `there is no device ${name}`, {
    hint: 'A device is named by its path, as /dev/fuse.',
    ...(span !== undefined && { span }),
  })
}

function hostBinds({ binds = [] }: Sandbox, held: AsyncDisposableStack): readonly RunMount[] {
  return binds.map(({ source, target, readonly }): RunMount => {
    const found = statSync(source, { throwIfNoEntry: false })
    if (found === undefined)
      throw new StaveError('not-found', `cannot give RUN ${source}: there is no such file`, { hint: 'It was named with --volume.' })
    if (!found.isDirectory()) return { type: 'bind', source: hostFile(source, held), target, readonly, file: true }
    const fd = openSync(source, constants.O_RDONLY | constants.O_DIRECTORY)
    held.defer(() => closeSync(fd))
    return { type: 'bind', source: { fd }, target, readonly, recursive: true }
  })
}

/** By its directory: a socket cannot be opened. */
function hostFile(path: string, held: AsyncDisposableStack): Place {
  const fd = openSync(dirname(path), 'r')
  held.defer(() => closeSync(fd))
  return { fd, path: basename(path) }
}

/** Names and resolvers of the machine: files of the sandbox that leave no trace in the layer. */
function hostFiles(session: Session, op: ExecOp): readonly RunMount[] {
  // Each time: a machine that moves to another network has others.
  const isHosts = op.network === 'host'
  const { addHosts = [], sandbox = {} } = session.options
  const hostname = op.hostname ?? defaultHostname
  const hosts = withOwnName(hostsText(isHosts ? readText('/etc/hosts') : undefined, addHosts), hostname)
  const { nameserver, search, options } = sandbox.resolver ?? {}
  const resolver = {
    ...(nameserver !== undefined && { nameservers: nameserver }),
    ...(search !== undefined && { searchDomains: search }),
    ...(options !== undefined && { options }),
  }
  const content = (target: string, text: string): RunMount => ({
    type: 'content',
    target,
    base64: Buffer.from(text).toString('base64'),
    mode: 0o644,
  })
  return [
    ...(sandbox.ownHosts === true ? [] : [content('/etc/hosts', hosts), content('/etc/hostname', `${hostname}\n`)]),
    content('/etc/resolv.conf', resolverText(isHosts ? readText('/etc/resolv.conf') : undefined, resolver)),
  ]
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // A machine without it has no names to give.
    return ''
  }
}
