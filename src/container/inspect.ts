import { basename } from 'node:path'
import type { LocalStore } from '#store/open.ts'
import type { Container } from './container.ts'
import type { Healthcheck } from '#oci/config.ts'
import { readHealth, type HealthCheck } from './health.ts'
import { logPath } from './log-file.ts'
import { networkMode } from './network.ts'
import { networkSettings, portBindings } from './networks.ts'
import type { SpecMount } from './spec.ts'
import { isUp } from './status.ts'
import { volumePath, type Volume } from './volume.ts'

const never = '0001-01-01T00:00:00Z'

/** A container in the shape of Docker's `container inspect`, as far as there is something to say. */
export function inspectContainer(store: LocalStore, container: Container): Record<string, unknown> {
  const argv = [...container.entrypoint, ...container.command]
  return {
    Id: container.id,
    Created: container.createdAt,
    Path: argv[0] ?? '',
    Args: argv.slice(1),
    State: stateOf(store, container),
    Image: container.imageId,
    LogPath: logPath(store, container),
    Name: `/${container.name}`,
    RestartCount: container.restarts ?? 0,
    Driver: 'overlay2',
    Platform: 'linux',
    HostConfig: hostConfig(store, container),
    Mounts: container.spec.mounts.flatMap((mount) => mountPoint(store, mount)),
    Config: configOf(container),
    NetworkSettings: networkSettings(store, container),
  }
}

function stateOf(store: LocalStore, container: Container): Record<string, unknown> {
  const { status } = container
  return {
    Status: status.state,
    // Docker's rule: one that is about to start again counts as running.
    Running: isUp(status),
    Paused: status.state === 'paused',
    Restarting: status.state === 'restarting',
    OOMKilled: status.oomKilled ?? false,
    Dead: false,
    Pid: status.pid ?? 0,
    ExitCode: status.exitCode ?? 0,
    Error: status.error ?? '',
    StartedAt: status.startedAt ?? never,
    FinishedAt: status.finishedAt ?? never,
    ...healthState(store, container),
  }
}

function hostConfig(store: LocalStore, container: Container): Record<string, unknown> {
  const { spec } = container
  return {
    Binds: spec.mounts.flatMap(bindText),
    LogConfig: logConfig(store, container),
    NetworkMode: networkMode(container),
    PortBindings: portBindings(container),
    RestartPolicy: { Name: container.restart?.name ?? 'no', MaximumRetryCount: container.restart?.maximum ?? 0 },
    Annotations: container.annotations ?? {},
    AutoRemove: container.autoRemove,
    Runtime: container.runtime === undefined ? 'stave' : basename(container.runtime),
    Privileged: spec.privileged ?? false,
    ReadonlyRootfs: container.readonly,
    ShmSize: spec.shmBytes ?? 0,
    Memory: spec.resources?.memoryBytes ?? 0,
    MemorySwap: spec.resources?.memorySwapBytes ?? 0,
    NanoCpus: Math.round((spec.resources?.cpus ?? 0) * 1e9),
    CpuShares: spec.resources?.cpuShares ?? 0,
    CpusetCpus: spec.resources?.cpusetCpus ?? '',
    PidsLimit: spec.resources?.pids ?? null,
    Init: spec.init ?? false,
    OomScoreAdj: spec.oomScoreAdj ?? 0,
    Capabilities: spec.capabilities,
    Dns: container.network?.resolver.nameservers ?? [],
    DnsOptions: container.network?.resolver.options ?? [],
    DnsSearch: container.network?.resolver.searchDomains ?? [],
    ExtraHosts: (container.network?.addHosts ?? []).map(({ host, address }) => `${host}:${address}`),
    PidMode: namespaceMode(container, 'pid') ?? '',
    IpcMode: namespaceMode(container, 'ipc') ?? 'private',
    UTSMode: namespaceMode(container, 'uts') ?? '',
    CgroupnsMode: spec.namespaces.cgroup ?? 'private',
    CgroupParent: container.cgroupParent ?? '',
    MemoryReservation: spec.resources?.memoryReservationBytes ?? 0,
    CpusetMems: spec.resources?.cpusetMems ?? '',
    BlkioWeight: spec.resources?.blockIo?.weight ?? 0,
    SecurityOpt: [
      ...(spec.noNewPrivileges ? ['no-new-privileges'] : []),
      ...(spec.seccomp === 'default' ? [] : [`seccomp=${spec.seccomp === 'unconfined' ? 'unconfined' : JSON.stringify(spec.seccomp)}`]),
    ],
    Sysctls: spec.sysctl ?? {},
    Ulimits: (spec.ulimits ?? []).map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    Devices: (spec.devices ?? []).map(({ path, target, access }) => ({
      PathOnHost: path,
      PathInContainer: target,
      CgroupPermissions: access,
    })),
  }
}

function configOf(container: Container): Record<string, unknown> {
  const { spec } = container
  return {
    Hostname: spec.hostname ?? '',
    Domainname: container.network?.domainname ?? '',
    User: spec.user ?? '',
    Tty: spec.terminal ?? false,
    OpenStdin: spec.interactive ?? false,
    Env: spec.env,
    Cmd: container.command,
    Entrypoint: container.entrypoint.length === 0 ? null : container.entrypoint,
    Image: container.image,
    WorkingDir: spec.cwd,
    Labels: container.labels,
    ...(container.health !== undefined && { Healthcheck: healthConfig(container.health) }),
    StopSignal: spec.stopSignal ?? 'SIGTERM',
    StopTimeout: container.stopTimeout,
    ExposedPorts: Object.fromEntries(container.exposedPorts.map((port) => [port, {}])),
  }
}

function namespaceMode({ spec, joins }: Container, kind: 'pid' | 'ipc' | 'uts'): string | undefined {
  const other = joins?.[kind]
  return other !== undefined ? `container:${other}` : spec.namespaces[kind] === 'host' ? 'host' : undefined
}

/** As docker has it, and beside it what podman has. */
function logConfig(store: LocalStore, container: Container): Record<string, unknown> {
  const { log, logSettings: { format, maxBytes, maxFiles, path, tag } = {} } = container
  const words = { 'max-size': maxBytes, 'max-file': maxFiles, path, tag }
  return {
    Type: log === false ? 'none' : (format ?? 'json-file'),
    Config: Object.fromEntries(Object.entries(words).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]))),
    Path: log === false ? '' : logPath(store, container),
    Tag: tag ?? '',
  }
}

/** As docker has it, and beside it under podman's older name. */
function healthState(store: LocalStore, container: Container): Record<string, unknown> {
  const state = container.health === undefined ? undefined : readHealth(store, container.id)
  return state === undefined ? {} : { Health: state, Healthcheck: state }
}

/** Durations in nanoseconds, as in an image. */
function healthConfig(check: HealthCheck): Healthcheck {
  return {
    Test: check.test,
    Interval: check.intervalMs * 1e6,
    Timeout: check.timeoutMs * 1e6,
    StartPeriod: check.startPeriodMs * 1e6,
    StartInterval: check.startIntervalMs * 1e6,
    Retries: check.retries,
  }
}

/** A volume in the shape of Docker's `volume inspect`. */
export function inspectVolume(store: LocalStore, volume: Volume): Record<string, unknown> {
  return {
    Name: volume.name,
    Driver: 'local',
    Mountpoint: volumePath(store, volume.name),
    CreatedAt: volume.createdAt,
    Labels: volume.labels,
    Options: {},
    Scope: 'local',
    Anonymous: volume.anonymous,
  }
}

function bindText(mount: SpecMount): string[] {
  return mount.type === 'bind' ? [`${mount.source}:${mount.target}${mount.readonly ? ':ro' : ''}`] : []
}

function mountPoint(store: LocalStore, mount: SpecMount): Record<string, unknown>[] {
  switch (mount.type) {
    case 'bind':
      return [
        {
          Type: 'bind',
          Source: mount.source,
          Destination: mount.target,
          RW: mount.readonly !== true,
          Propagation: mount.propagation ?? 'rprivate',
        },
      ]
    case 'volume': {
      const name = mount.name ?? ''
      return [
        {
          Type: 'volume',
          Name: name,
          Source: volumePath(store, name),
          Destination: mount.target,
          Driver: 'local',
          RW: mount.readonly !== true,
        },
      ]
    }
    case 'tmpfs':
      return [{ Type: 'tmpfs', Source: '', Destination: mount.target, RW: mount.options?.includes('ro') !== true }]
    case 'image':
      return [{ Type: 'image', Source: mount.image, Destination: mount.target, RW: !mount.readonly }]
    case 'content':
      return []
    default:
      return mount satisfies never
  }
}
