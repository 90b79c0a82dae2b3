import type { Context } from '#context.ts'
import type { Place, RunMount, RunRequest } from '#runner/protocol.ts'
import type { Job, Stdio } from '#runner/runner.ts'
import type { Session } from '../session.ts'
import type { Solved, State } from '../state.ts'
import type { ExecOp, Step } from '../step.ts'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { StaveError } from '#error.ts'
import { formatPlatform } from '#oci/platform.ts'
import { keepLayer, type MadeLayer } from '../layer.ts'
import { treeOf } from '../state.ts'

/** What a RUN has left: usable at once, packed later. */
export interface Executed {
  /** The upper directory, as a lower of what comes next. */
  readonly fs: Place
  readonly snapshot: string
  readonly layer: Promise<MadeLayer>
}

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

/**
 * Executes RUN. Resolves as soon as the command has ended; its layer is made meanwhile by the same native process.
 *
 * @throws StaveError `build-failed`, with the last lines of output as cause
 */
export async function exec(
  cx: Context,
  session: Session,
  step: Step,
  op: ExecOp,
  parent: State,
  inputs: readonly Solved[],
): Promise<Executed> {
  const { store } = session
  checkArchitecture(session, step, op)
  const lowers = await parent.trees()
  await using held = new AsyncDisposableStack()
  const prepared = await prepare(cx, session, step, op, inputs, held)
  const snapshot = await store.snapshots.create()
  const directory = snapshot.place.path as string
  mkdirSync(join(store.root, directory, 'fs'))
  mkdirSync(join(store.root, directory, 'work'))
  const fs: Place = { fd: store.directory, path: `${directory}/fs` }
  const log = session.logs.open(cx, step, session.secrets.of(op))
  const blob = await store.blobs.temporary()

  const { promise: exited, resolve: onExit } = Promise.withResolvers<number>()
  const stdio: Stdio = { stdin: 'ignore', stdout: (chunk) => log.write('stdout', chunk), stderr: (chunk) => log.write('stderr', chunk) }
  const job: Job<RunRequest> = {
    id: `build-${session.id}-${step.id}`,
    root: { lowers, upper: fs, work: { fd: store.directory, path: `${directory}/work` }, volatile: true },
    spec: prepared.spec,
    layer: { ...session.output, blob },
  }
  const run = store.runner.run(cx, job, stdio, { onExit })
  const layer = run.then(
    (result) => {
      if (result.layer === undefined) {
        throw new StaveError('runner', `cannot use the result of ${commandText(op)}: the runner made no layer`)
      }
      return keepLayer(store, blob, result.layer, session.output)
    },
    (error: unknown) => {
      throw located(error, step, op)
    },
  )
  // Who waits for the layer gets its error; if the command has failed, nobody does.
  layer.catch(() => {})
  let exitCode: number
  let oomKilled = false
  try {
    exitCode = await Promise.race([
      exited,
      run.then((result) => {
        oomKilled = result.oomKilled === true
        return result.exitCode ?? 0
      }),
    ])
    if (exitCode !== 0) {
      // What the process wrote last may still be in a pipe.
      oomKilled = await run.then(
        (result) => result.oomKilled === true,
        () => false,
      )
    }
  } catch (error) {
    await store.blobs.discard(blob)
    await store.snapshots.discard(snapshot.id)
    log.close()
    throw located(error, step, op)
  }
  if (exitCode === 0) {
    return { fs, snapshot: snapshot.id, layer: layer.finally(() => log.close()) }
  }
  log.close()
  try {
    await session.options.onStop?.({
      reason: 'failed',
      title: step.title,
      span: step.span,
      exitCode,
      shell: (inner, stdio, { args, terminal }) =>
        shell(inner, session, step, op, [fs, ...lowers], inputs, stdio, args ?? [op.shell[0] ?? '/bin/sh'], terminal),
    })
  } finally {
    await store.blobs.discard(blob)
    await store.snapshots.discard(snapshot.id)
  }
  throw failed(step, op, exitCode, oomKilled, log.tail())
}

/** Runs a command in the state that a step would see, and throws its changes away. */
export async function shell(
  cx: Context,
  session: Session,
  step: Step,
  op: ExecOp,
  lowers: readonly Place[],
  inputs: readonly Solved[],
  stdio: Stdio,
  args: readonly string[],
  terminal: boolean,
): Promise<{ exitCode: number }> {
  const { store } = session
  await using held = new AsyncDisposableStack()
  const { spec } = await prepare(cx, session, step, op, inputs, held)
  const snapshot = await store.snapshots.create()
  held.defer(() => store.snapshots.discard(snapshot.id))
  const directory = snapshot.place.path as string
  mkdirSync(join(store.root, directory, 'fs'))
  mkdirSync(join(store.root, directory, 'work'))
  const result = await store.runner.run(
    cx,
    {
      id: `debug-${session.id}-${step.id}`,
      root: {
        lowers,
        upper: { fd: store.directory, path: `${directory}/fs` },
        work: { fd: store.directory, path: `${directory}/work` },
        volatile: true,
      },
      spec: { ...spec, args, terminal, interactive: true, env: [...spec.env, 'TERM=xterm'] },
    },
    stdio,
  )
  return { exitCode: result.exitCode ?? 0 }
}

async function prepare(
  cx: Context,
  session: Session,
  step: Step,
  op: ExecOp,
  inputs: readonly Solved[],
  held: AsyncDisposableStack,
): Promise<{ spec: RunRequest['spec'] }> {
  const { options } = session
  const mounts: RunMount[] = [...hostFiles(session, op)]
  const env = [...op.env, ...op.proxyEnv.filter((entry) => !op.env.some((own) => own.startsWith(`${entry.split('=')[0]}=`)))]
  for (const mount of op.mounts) {
    switch (mount.type) {
      case 'bind': {
        const input = mount.input === undefined ? undefined : (inputs[mount.input] as Exclude<Solved, { kind: 'file' }>)
        const from = input === undefined ? ({ kind: 'lowers', lowers: [] } as const) : await treeOf(input)
        const ignore = input?.kind === 'directory' && input.ignore.length > 0 ? { ignore: input.ignore } : {}
        mounts.push({ type: 'tree', from, path: mount.source, target: mount.target, readonly: mount.readonly, ...ignore })
        break
      }
      case 'cache': {
        const { openCacheMount } = await import('./cache-mount.ts')
        const input = mount.input === undefined ? undefined : (inputs[mount.input] as Exclude<Solved, { kind: 'file' }>)
        const from = input === undefined ? undefined : await treeOf(input)
        const fromId = input?.kind === 'state' ? await input.id : ''
        const namespace = options.buildArgs?.['BUILDKIT_CACHE_MOUNT_NS'] ?? ''
        const open = await openCacheMount(cx, session.store, mount, namespace, from, fromId, session.remote)
        held.use(open)
        mounts.push({ type: 'bind', source: open.place, target: mount.target, readonly: mount.readonly })
        break
      }
      case 'tmpfs':
        mounts.push({ type: 'tmpfs', target: mount.target, ...(mount.sizeBytes === undefined ? {} : { sizeBytes: mount.sizeBytes }) })
        break
      case 'secret': {
        const value = session.secrets.get(mount.id, mount.required, step.span)
        if (value === undefined) {
          break
        }
        if (mount.target !== undefined) {
          const { target, mode, uid, gid } = mount
          mounts.push({ type: 'content', target, base64: Buffer.from(value).toString('base64'), mode, uid, gid })
        }
        if (mount.env !== undefined) {
          env.push(`${mount.env}=${Buffer.from(value).toString()}`)
        }
        break
      }
      case 'ssh': {
        const agent = options.ssh?.find(({ id }) => id === mount.id)
        if (agent === undefined) {
          if (mount.required) {
            throw new StaveError('secret-missing', `cannot mount the SSH agent ${JSON.stringify(mount.id)}: it was not given`, {
              hint: `Give it with --ssh ${mount.id}.`,
              ...(step.span === undefined ? {} : { span: step.span }),
            })
          }
          break
        }
        const socket = realpathSync(agent.socket)
        const fd = openSync(dirname(socket), 'r')
        held.defer(() => closeSync(fd))
        mounts.push({ type: 'bind', source: { fd, path: basename(socket) }, target: mount.target, file: true })
        env.push(`SSH_AUTH_SOCK=${mount.target}`)
        break
      }
      default:
        mount satisfies never
    }
  }
  if (op.script !== undefined) {
    mounts.push({
      type: 'content',
      target: `/dev/pipes/${op.script.name}`,
      base64: Buffer.from(op.script.content).toString('base64'),
      mode: 0o755,
    })
  }
  const limits = {
    ...(options.memoryBytes === undefined ? {} : { memoryBytes: options.memoryBytes }),
    ...(options.cpus === undefined ? {} : { cpus: options.cpus }),
  }
  return {
    spec: {
      args: op.args,
      env,
      cwd: op.cwd,
      makeCwd: true,
      ...(op.user === undefined ? {} : { user: op.user }),
      hostname: op.hostname ?? defaultHostname,
      namespaces: { network: op.network },
      capabilities,
      seccomp: op.insecure === true ? 'unconfined' : 'default',
      ...(op.insecure === true ? { privileged: true } : {}),
      mounts,
      ...(op.devices === undefined ? {} : { devices: op.devices.map(({ name }) => ({ path: name, target: name, access: 'rwm' })) }),
      ...(Object.keys(limits).length === 0 ? {} : { resources: limits }),
      ...(options.ulimits === undefined ? {} : { ulimits: options.ulimits }),
      ...(options.shmBytes === undefined ? {} : { shmBytes: options.shmBytes }),
    },
  }
}

let hostTexts: { hosts: string; resolv: string } | undefined

/** Names and resolvers of the machine: files of the sandbox that leave no trace in the layer. */
function hostFiles(session: Session, op: ExecOp): readonly RunMount[] {
  hostTexts ??= { hosts: readText('/etc/hosts'), resolv: readText('/etc/resolv.conf') }
  const added = (session.options.addHosts ?? []).map(({ host, address }) => `${address}\t${host}\n`).join('')
  const hostname = op.hostname ?? defaultHostname
  const own = `127.0.0.1\t${hostname}\n`
  const hosts =
    op.network === 'host'
      ? `${hostTexts.hosts.replace(/\n?$/, '\n')}${own}${added}`
      : `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost\n${added}`
  const content = (target: string, text: string): RunMount => ({
    type: 'content',
    target,
    base64: Buffer.from(text).toString('base64'),
    mode: 0o644,
  })
  return [
    content('/etc/hosts', hosts),
    content('/etc/hostname', `${hostname}\n`),
    content('/etc/resolv.conf', op.network === 'host' ? hostTexts.resolv : ''),
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

/** Which programs of other architectures the processor runs by itself. */
const compatible: Readonly<Record<string, readonly string[]>> = { amd64: ['386'], arm64: ['arm'] }
const qemuNames: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  '386': 'i386',
  ppc64le: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  arm: 'arm',
  mips64le: 'mips64el',
  loong64: 'loongarch64',
}

function checkArchitecture(session: Session, step: Step, op: ExecOp): void {
  const { architecture } = op.platform
  if (architecture === session.architecture || compatible[session.architecture]?.includes(architecture) === true) {
    return
  }
  const name = qemuNames[architecture] ?? architecture
  let registered: readonly string[] = []
  try {
    registered = readdirSync('/proc/sys/fs/binfmt_misc')
  } catch {
    // Not mounted: nothing is registered.
  }
  if (!registered.some((entry) => entry.endsWith(`-${name}`))) {
    throw new StaveError(
      'isolation',
      `cannot RUN for ${formatPlatform(op.platform)} in stage ${step.stage}: this machine is ${session.architecture}, and has no emulator for it`,
      {
        hint: `Install qemu-user-static (binfmt), or use FROM --platform=$BUILDPLATFORM and cross-compile.`,
        ...(step.span === undefined ? {} : { span: step.span }),
      },
    )
  }
}

function failed(step: Step, op: ExecOp, exitCode: number, oomKilled: boolean, tail: string): StaveError {
  const why = oomKilled ? `it was killed, since memory was short (exit code ${exitCode})` : `exit code ${exitCode}`
  return new StaveError('build-failed', `cannot run ${commandText(op)}: ${why}`, {
    ...(tail === '' ? {} : { cause: new Error(`the last lines of its output were\n${tail}`) }),
    ...(step.span === undefined ? {} : { span: step.span }),
    ...(oomKilled ? { hint: 'Give it more with --memory.' } : {}),
  })
}

function commandText(op: ExecOp): string {
  const isShell = op.args.length > op.shell.length && op.shell.every((word, at) => op.args[at] === word)
  if (!isShell) return shortened(JSON.stringify(op.args))
  const text = op.args.slice(op.shell.length).join(' ')
  const line = text.split('\n')[0] as string
  return JSON.stringify(line === text ? shortened(line) : `${line.slice(0, longestShown)}…`)
}

const longestShown = 200

function shortened(text: string): string {
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text
}

/** A command that could not be started is a failure of its line in the Dockerfile. */
function located(error: unknown, step: Step, op: ExecOp): unknown {
  if (!(error instanceof StaveError) || error.span !== undefined || error.code === 'cancelled') {
    return error
  }
  return new StaveError(error.code, `cannot run ${commandText(op)}: ${error.message}`, {
    cause: error.cause,
    exitCode: 1,
    ...(step.span === undefined ? {} : { span: step.span }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  })
}
