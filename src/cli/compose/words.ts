import type { Build, FileMount, FileObject, Mount, Place, Port, Project, Service } from '#compose/model.ts'
import { StaveError } from '#error.ts'
import { readDuration } from '#text/duration.ts'

/**
 * What a service is, in the words of `stave create`: what a container may and has is said by them alone, and a service can be
 * nothing that a person could not type.
 */
export interface ServiceWords {
  readonly flags: readonly string[]
  readonly image: string
  readonly command: readonly string[]
}

export interface WordsOptions {
  readonly project: Project
  readonly name: string
  readonly service: Service
  /** Of the container. */
  readonly container: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  /** Where the content of a config or secret lies on this machine. */
  readonly fileOf: (object: FileObject, kind: 'config' | 'secret', key: string) => string
  /** The container that stands for another service of the project. */
  readonly containerOf: (service: string) => string
  /** Ports are published. */
  readonly publishes?: boolean
}

/** @throws StaveError `unsupported` for what containers of stave cannot be */
export function createWords(options: WordsOptions): ServiceWords {
  const { service, name, image } = options
  refuseUnsupported(name, service)
  const flags = [
    ...value('--name', options.container),
    ...Object.entries({ ...service.labels, ...options.labels }).flatMap(([key, text]) => ['--label', `${key}=${text}`]),
    ...Object.entries(service.environment ?? {}).flatMap(([key, text]) => (text === null ? [] : ['--env', `${key}=${text}`])),
    ...processWords(service),
    ...networkWords(options),
    ...(options.publishes === false ? [] : (service.ports ?? []).flatMap((port) => ['--publish', portWord(port)])),
    ...each('--expose', service.expose),
    ...(service.volumes ?? []).flatMap((mount) => mountWords(options.project, mount)),
    ...each('--tmpfs', service.tmpfs),
    ...fileWords(options, 'config', service.configs),
    ...fileWords(options, 'secret', service.secrets),
    ...(service.volumes_from ?? []).flatMap((word) => {
      const [first = '', ...rest] = word.split(':')
      const source = first === 'container' ? rest.join(':') : [options.containerOf(first), ...rest].join(':')
      return ['--volumes-from', source]
    }),
    ...limitWords(service),
    ...entrypointWords(service),
  ]
  // The words of an entrypoint behind the first are those of the command, as create knows one program alone.
  return { flags, image, command: service.command ?? [] }
}

function value(flag: string, text: string | number | undefined): string[] {
  return text === undefined ? [] : [flag, String(text)]
}

/** As one word: a list, an address or a negative number may look like a flag. */
function attached(flag: string, text: string | number | undefined): string[] {
  return text === undefined ? [] : [`${flag}=${text}`]
}

function flag(name: string, isOn: boolean | undefined): string[] {
  return isOn === true ? [name] : []
}

function each(name: string, words: readonly string[] | undefined): string[] {
  return (words ?? []).map((word) => `${name}=${word}`)
}

function processWords(service: Service): string[] {
  const { stop_grace_period: grace, logging } = service
  return [
    ...attached('--user', service.user),
    ...attached('--workdir', service.working_dir),
    ...attached('--hostname', service.hostname),
    ...attached('--domainname', service.domainname),
    ...attached('--stop-signal', service.stop_signal),
    ...(grace === undefined ? [] : [`--stop-timeout=${Math.ceil((readDuration(grace) ?? 0) / 1e9)}`]),
    ...flag('--init', service.init),
    ...flag('--privileged', service.privileged),
    ...attached('--runtime', service.runtime),
    ...flag('--read-only', service.read_only),
    ...flag('--tty', service.tty),
    ...flag('--interactive', service.stdin_open),
    ...each('--cap-add', service.cap_add),
    ...each('--cap-drop', service.cap_drop),
    ...each('--device', service.devices),
    ...each('--group-add', service.group_add),
    ...each('--security-opt', service.security_opt),
    ...attached('--platform', service.platform),
    ...attached('--oom-score-adj', service.oom_score_adj),
    ...attached('--restart', service.restart),
    ...Object.entries(service.annotations ?? {}).map(([key, text]) => `--annotation=${key}=${text}`),
    ...healthWords(service),
    ...(logging?.driver === undefined ? [] : [`--log-driver=${logging.driver}`]),
    ...Object.entries(service.sysctls ?? {}).map(([key, text]) => `--sysctl=${key}=${text}`),
  ]
}

function healthWords({ healthcheck: check }: Service): string[] {
  if (check === undefined) return []
  if (check.disable === true || check.test?.[0] === 'NONE') return ['--no-healthcheck']
  return [
    ...(check.test === undefined ? [] : [`--health-cmd=${JSON.stringify(check.test)}`]),
    ...attached('--health-interval', check.interval),
    ...attached('--health-timeout', check.timeout),
    ...attached('--health-start-period', check.start_period),
    ...attached('--health-start-interval', check.start_interval),
    ...attached('--health-retries', check.retries),
  ]
}

function networkWords({ project, service, name, containerOf }: WordsOptions): string[] {
  const mode = (text: string | undefined): string | undefined =>
    text?.startsWith('service:') ? `container:${containerOf(text.slice(8))}` : text
  const isShared = service.network_mode?.startsWith('service:') === true || service.network_mode?.startsWith('container:') === true
  return [
    ...attached('--network', mode(service.network_mode)),
    ...Object.entries(service.networks ?? {})
      .toSorted(([, one], [, other]) => (other?.priority ?? 0) - (one?.priority ?? 0))
      .map(([key, place]) => `--network=${networkWord(project.networks[key]?.name ?? key, name, place, service)}`),
    ...attached('--pid', mode(service.pid)),
    ...attached('--ipc', mode(service.ipc)),
    ...attached('--uts', service.uts),
    ...attached('--userns', service.userns_mode),
    ...(isShared
      ? []
      : [
          ...each('--dns', service.dns),
          ...each('--dns-search', service.dns_search),
          ...each('--dns-option', service.dns_opt),
          ...each('--add-host', service.extra_hosts),
        ]),
  ]
}

/** A service is found by its name, and by the names that others have for it. */
function networkWord(network: string, service: string, place: Place | null, { mac_address: mac }: Service): string {
  const options = [
    ...[service, ...(place?.aliases ?? [])].map((alias) => `alias=${alias}`),
    ...(place?.ipv4_address === undefined ? [] : [`ip=${place.ipv4_address}`]),
    ...(place?.ipv6_address === undefined ? [] : [`ip6=${place.ipv6_address}`]),
    ...[place?.mac_address ?? mac].flatMap((address) => (address === undefined ? [] : [`mac=${address}`])),
    ...(place?.interface_name === undefined ? [] : [`interface_name=${place.interface_name}`]),
  ]
  return `${network}:${options.join(',')}`
}

function portWord({ host_ip: address, published, target, protocol }: Port): string {
  const host = address === undefined ? '' : `${address.includes(':') ? `[${address}]` : address}:`
  const outside = published === undefined || published === '0' ? '' : published
  return `${host}${outside}${host === '' && outside === '' ? '' : ':'}${target}${protocol === 'tcp' ? '' : `/${protocol}`}`
}

/** `--mount` reads CSV: a field with a comma or quote in it is quoted. */
function csv(fields: readonly string[]): string {
  return fields.map((field) => (/[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',')
}

function mountWords(project: Project, mount: Mount): string[] {
  const common = [`dst=${mount.target}`, ...(mount.read_only === true ? ['readonly'] : [])]
  switch (mount.type) {
    case 'bind':
      // The short form makes a directory that is not there, as docker's -v does.
      if (mount.bind?.create_host_path === true && !/[:,"]/.test(`${mount.source}${mount.target}`))
        return ['--volume', `${mount.source}:${mount.target}${mount.read_only === true ? ':ro' : ''}`]
      return ['--mount', csv(['type=bind', `src=${mount.source ?? ''}`, ...common])]
    case 'tmpfs': {
      const { size, mode } = mount.tmpfs ?? {}
      return [
        '--mount',
        csv([
          'type=tmpfs',
          ...common,
          ...(size === undefined ? [] : [`tmpfs-size=${size}`]),
          ...(mode === undefined ? [] : [`tmpfs-mode=${mode.toString(8)}`]),
        ]),
      ]
    }
    default: {
      if (mount.type !== 'volume') throw new StaveError('unsupported', `volumes of the type ${mount.type} are not offered`)
      const source = mount.source === undefined ? [] : [`src=${project.volumes[mount.source]?.name ?? mount.source}`]
      return ['--mount', csv(['type=volume', ...source, ...common, ...(mount.volume?.nocopy === true ? ['volume-nocopy'] : [])])]
    }
  }
}

/** Configs and secrets are files of this machine that are mounted read-only. */
function fileWords({ project, fileOf }: WordsOptions, kind: 'config' | 'secret', used: readonly FileMount[] = []): string[] {
  return used.flatMap(({ source, target }) => {
    const object = project[`${kind}s`][source] as FileObject
    const place = target ?? source
    const path = place.startsWith('/') ? place : kind === 'secret' ? `/run/secrets/${place}` : `/${place}`
    return ['--mount', csv(['type=bind', `src=${fileOf(object, kind, source)}`, `dst=${path}`, 'readonly'])]
  })
}

function limitWords(service: Service): string[] {
  const { limits } = service.deploy?.resources ?? {}
  const pids = service.pids_limit ?? limits?.pids
  return [
    ...attached('--memory', service.mem_limit ?? limits?.memory),
    ...attached('--memory-swap', service.memswap_limit),
    ...attached('--cpus', service.cpus ?? limits?.cpus),
    ...attached('--cpu-shares', service.cpu_shares),
    ...attached('--cpu-quota', service.cpu_quota),
    ...attached('--cpu-period', service.cpu_period),
    ...attached('--cpuset-cpus', service.cpuset),
    ...attached('--pids-limit', pids === 0 ? undefined : pids),
    ...attached('--shm-size', service.shm_size),
    ...Object.entries(service.ulimits ?? {}).map(([name, { soft, hard }]) => `--ulimit=${name}=${soft}:${hard}`),
  ]
}

function entrypointWords({ entrypoint }: Service): string[] {
  if (entrypoint === undefined || entrypoint === null) return []
  return [`--entrypoint=${entrypoint.length === 0 ? '' : JSON.stringify(entrypoint)}`]
}

/** What a service says that makes no difference here: told, and not an error. */
export function withoutEffect(service: Service): readonly string[] {
  const silent = [
    ...([
      'mem_reservation',
      'mem_swappiness',
      'cpu_count',
      'cpu_percent',
      'cpu_rt_period',
      'cpu_rt_runtime',
      'cgroup',
      'cgroup_parent',
    ] as const),
    ...(['blkio_config', 'develop', 'external_links', 'isolation', 'oom_kill_disable', 'post_start', 'pre_stop'] as const),
    'storage_opt' as const,
  ].filter((key) => service[key] !== undefined)
  const { logging, deploy } = service
  return [
    ...silent,
    ...(logging?.options === undefined ? [] : ['logging.options']),
    ...(['restart_policy', 'placement', 'update_config', 'rollback_config', 'endpoint_mode'] as const).flatMap((key) =>
      deploy?.[key] === undefined ? [] : [`deploy.${key}`],
    ),
  ]
}

/** Said before anything is made, and never passed over in silence. */
function refuseUnsupported(name: string, service: Service): void {
  const found = (['gpus', 'provider', 'credential_spec', 'device_cgroup_rules', 'use_api_socket', 'models'] as const).find(
    (key) => service[key] !== undefined && service[key] !== false,
  )
  if (found !== undefined) throw new StaveError('unsupported', `cannot make the service ${name}: ${found} is not offered`)
}

/** What a service is built with, in the words of `stave build`. */
export function buildWords(build: Build, tags: readonly string[], fileOf: WordsOptions['fileOf'], project: Project): readonly string[] {
  return [
    ...tags.flatMap((tag) => ['--tag', tag]),
    ...(build.dockerfile === undefined ? [] : [`--file=${fileWithin(build)}`]),
    ...(build.dockerfile_inline === undefined ? [] : ['--file=-']),
    ...Object.entries(build.args ?? {}).map(([key, text]) => `--build-arg=${key}${text === null ? '' : `=${text}`}`),
    ...attached('--target', build.target),
    ...Object.entries(build.labels ?? {}).map(([key, text]) => `--label=${key}=${text}`),
    ...each('--cache-from', build.cache_from?.map(cacheWord)),
    ...each('--cache-to', build.cache_to?.map(cacheWord)),
    ...flag('--no-cache', build.no_cache),
    ...flag('--pull', build.pull),
    ...each('--platform', build.platforms),
    ...(build.secrets ?? []).map(({ source, target }) => {
      const object = project.secrets[source] as FileObject
      const id = target ?? source
      return object.environment === undefined
        ? `--secret=id=${id},src=${fileOf(object, 'secret', source)}`
        : `--secret=id=${id},env=${object.environment}`
    }),
    ...each('--ssh', build.ssh),
    ...attached('--network', build.network),
    ...attached('--shm-size', build.shm_size),
    ...Object.entries(build.additional_contexts ?? {}).map(([key, text]) => `--build-context=${key}=${text ?? ''}`),
    ...each('--add-host', build.extra_hosts),
    ...Object.entries(build.ulimits ?? {}).map(([key, { soft, hard }]) => `--ulimit=${key}=${soft}:${hard}`),
    ...each('--allow', build.entitlements),
    ...attached('--provenance', build.provenance),
    ...attached('--sbom', build.sbom),
    build.context ?? '.',
  ]
}

/** The name of a Dockerfile counts from its context. */
function fileWithin({ context = '.', dockerfile = '' }: Build): string {
  const isRemote = /^([a-z+]+:\/\/|git@|github\.com\/)/.test(context)
  return isRemote || dockerfile.startsWith('/') ? dockerfile : `${context}/${dockerfile}`
}

function cacheWord(word: string): string {
  return word.includes('=') ? word : `type=registry,ref=${word}`
}
