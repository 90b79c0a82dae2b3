import { isAbsolute, posix } from 'node:path'
import type { At, Reader } from './read.ts'
import type {
  Build,
  Dependency,
  Deploy,
  EnvFile,
  FileMount,
  FileObject,
  Healthcheck,
  Mount,
  Network,
  Place,
  Port,
  Resources,
  Service,
  Ulimit,
  Volume,
} from './model.ts'
import { isRecord } from './document.ts'
import {
  anything,
  below,
  command,
  duration,
  either,
  fields,
  labels,
  list,
  map,
  number,
  oneOf,
  optionalText,
  pairs,
  size,
  text,
  texts,
  truth,
  whole,
  wrong,
} from './read.ts'

/** `[[IP:]HOST:]PORT[/PROTOCOL]`, where both may be ranges of one length. */
function shortPort(word: string, at: At): Port {
  const [, host = '', published, target = '', protocol = 'tcp'] =
    /^(?:(\[[0-9a-fA-F:.]+\]|[0-9a-fA-F.:]*?):)??(?:([0-9-]*):)?([0-9-]+)(?:\/(\w+))?$/.exec(word) ?? []
  if (target === '') throw wrong(at, `${JSON.stringify(word)} is no port`, { hint: 'Write 8080:80, 127.0.0.1:8080:80 or 80/udp.' })
  return {
    target,
    ...(published !== undefined && published !== '' && { published }),
    ...(host !== '' && { host_ip: host.replace(/^\[|\]$/g, '') }),
    protocol,
  }
}

const port: Reader<Port> = either(shortPort, (value, at) => {
  const read = fields<Omit<Port, 'protocol'> & { protocol?: string }>({
    target: text,
    published: text,
    host_ip: text,
    protocol: text,
    mode: text,
    name: text,
    app_protocol: text,
  })(value, at)
  if (read.target === undefined) throw wrong(at, 'a port needs its target')
  return { ...read, protocol: read.protocol ?? 'tcp' }
})

/** A range stands for its ports, one by one; a range outside that is longer than the one inside is left as it is. */
function onePort(port: Port, at: At): readonly Port[] {
  const [first, last = first] = numbers(port.target, at)
  const outside = port.published === undefined ? undefined : numbers(port.published, at)
  const count = (last as number) - (first as number) + 1
  if (count < 1 || count > 65_536) throw wrong(at, `${JSON.stringify(port.target)} is no range of ports`)
  if (count === 1 || (outside !== undefined && outside.length === 1)) {
    if (count > 1) throw wrong(at, `${count} ports cannot be published as one`)
    return [port]
  }
  if (outside !== undefined && (outside[1] as number) - (outside[0] as number) + 1 !== count)
    throw wrong(at, 'the ranges have different lengths')
  return Array.from({ length: count }, (_, index) => ({
    ...port,
    target: String((first as number) + index),
    ...(outside !== undefined && { published: String((outside[0] as number) + index) }),
  }))
}

function numbers(text: string, at: At): readonly number[] {
  const found = text.split('-').map(Number)
  if (found.length > 2 || found.some((number) => !Number.isInteger(number) || number < 0 || number > 65_535))
    throw wrong(at, `${JSON.stringify(text)} is no port`)
  return found
}

const ports: Reader<readonly Port[]> = (value, at) => list(port)(value, at).flatMap((one, index) => onePort(one, below(at, index)))

/** `[SOURCE:]TARGET[:OPTIONS]`; a source with a slash or dot at its beginning is a path of this machine. */
function shortMount(word: string, at: At): Mount {
  const parts = word.split(':')
  const [first = '', second, options = '', ...more] = parts
  if (word === '' || more.length > 0 || first === '')
    throw wrong(at, `${JSON.stringify(word)} is no volume`, { hint: 'Write ./data:/data, name:/data or /data:ro.' })
  if (second === undefined) return { type: 'volume', target: first }
  // Two words of which the second is no path: a target with options.
  if (parts.length === 2 && /^(ro|rw|z|Z|nocopy)(,|$)/.test(second)) return withOptions({ type: 'volume', target: first }, second, at)
  const isPath = /^[./~]/.test(first)
  const mount: Mount = isPath
    ? { type: 'bind', source: first, target: second, bind: { create_host_path: true } }
    : { type: 'volume', source: first, target: second }
  return withOptions(mount, options, at)
}

function withOptions(mount: Mount, options: string, at: At): Mount {
  let result = mount
  for (const option of options.split(',').filter((word) => word !== '')) {
    if (option === 'ro') result = { ...result, read_only: true }
    else if (option === 'nocopy') result = { ...result, volume: { ...result.volume, nocopy: true } }
    else if (option === 'z' || option === 'Z') result = { ...result, bind: { ...result.bind, selinux: option } }
    else if (/^r?(private|shared|slave)$/.test(option)) result = { ...result, bind: { ...result.bind, propagation: option } }
    else if (!/^(rw|cached|delegated|consistent)$/.test(option))
      throw wrong(at, `the option ${JSON.stringify(option)} of a volume is not understood`)
  }
  return result
}

const mount: Reader<Mount> = either(shortMount, (value, at) => {
  const read = fields<Partial<Mount>>({
    type: oneOf('bind', 'volume', 'tmpfs', 'image', 'npipe', 'cluster'),
    source: text,
    target: text,
    read_only: truth,
    consistency: text,
    bind: fields<NonNullable<Mount['bind']>>({ propagation: text, create_host_path: truth, selinux: text, recursive: text }),
    volume: fields<NonNullable<Mount['volume']>>({ nocopy: truth, subpath: text, labels }),
    tmpfs: fields<NonNullable<Mount['tmpfs']>>({ size, mode: whole }),
    image: fields<NonNullable<Mount['image']>>({ subpath: text }),
  })(value, at)
  const { type, target } = read
  if (type === undefined) throw wrong(at, 'a volume in the long form needs its type')
  if (target === undefined) throw wrong(at, 'a volume needs its target')
  if (type === 'npipe' || type === 'cluster') throw wrong(below(at, 'type'), `volumes of the type ${type} are not offered`)
  return { ...read, type, target }
})

const place: Reader<Place | null> = (value, at) =>
  value === null
    ? null
    : fields<Place>({
        aliases: list(text),
        ipv4_address: text,
        ipv6_address: text,
        mac_address: text,
        interface_name: text,
        priority: number,
        gw_priority: number,
        link_local_ips: list(text),
        driver_opts: labels,
      })(value, at)

/** A list of names, or a map. */
function named<T>(reader: Reader<T>, alone: T): Reader<Readonly<Record<string, T>>> {
  return (value, at) =>
    Array.isArray(value) ? Object.fromEntries(value.map((item, index) => [text(item, below(at, index)), alone])) : map(reader)(value, at)
}

const dependency: Reader<Dependency> = (value, at) => {
  const { condition = 'service_started', ...rest } = fields<Partial<Dependency>>({
    condition: oneOf('service_started', 'service_healthy', 'service_completed_successfully'),
    restart: truth,
    required: truth,
  })(value, at)
  return { condition, ...rest }
}

const healthcheck: Reader<Healthcheck> = fields<Healthcheck>({
  test: (value, at) => {
    if (typeof value === 'string') return ['CMD-SHELL', value]
    const words = list(text)(value, at)
    if (words.length > 0 && !['NONE', 'CMD', 'CMD-SHELL'].includes(words[0] as string))
      throw wrong(at, 'the first word is NONE, CMD or CMD-SHELL')
    return words
  },
  interval: duration,
  timeout: duration,
  start_period: duration,
  start_interval: duration,
  retries: whole,
  disable: truth,
})

const fileMount: Reader<FileMount> = either(
  (word): FileMount => ({ source: word }),
  (value, at) => {
    const read = fields<Partial<FileMount>>({ source: text, target: text, uid: text, gid: text, mode: whole })(value, at)
    if (read.source === undefined) throw wrong(at, 'its source is missing')
    return { ...read, source: read.source }
  },
)

const envFile: Reader<EnvFile> = either(
  (path): EnvFile => ({ path }),
  (value, at) => {
    const read = fields<Partial<EnvFile>>({ path: text, required: truth, format: oneOf('raw') })(value, at)
    if (read.path === undefined) throw wrong(at, 'its path is missing')
    return { ...read, path: read.path }
  },
)

const ulimit: Reader<Ulimit> = (value, at) => {
  if (!isRecord(value)) {
    const both = whole(value, at)
    return { soft: both, hard: both }
  }
  const { soft, hard } = fields<Partial<Ulimit>>({ soft: whole, hard: whole })(value, at)
  if (soft === undefined || hard === undefined) throw wrong(at, 'it needs soft and hard')
  return { soft, hard }
}

const hosts: Reader<readonly string[]> = (value, at) => {
  if (!isRecord(value)) return list(text)(value, at).map((word) => word.replace('=', ':'))
  return Object.entries(value).flatMap(([name, found]) => texts(found, below(at, name)).map((address) => `${name}:${address}`))
}

const resources: Reader<Resources> = fields<Resources>({
  cpus: number,
  memory: size,
  pids: whole,
  devices: anything,
  generic_resources: anything,
})

const deploy: Reader<Deploy> = fields<Deploy>({
  mode: oneOf('replicated', 'global', 'replicated-job', 'global-job'),
  replicas: whole,
  labels,
  resources: fields<NonNullable<Deploy['resources']>>({ limits: resources, reservations: resources }),
  restart_policy: fields<NonNullable<Deploy['restart_policy']>>({
    condition: oneOf('none', 'on-failure', 'any'),
    delay: duration,
    max_attempts: whole,
    window: duration,
  }),
  endpoint_mode: text,
  placement: anything,
  update_config: anything,
  rollback_config: anything,
})

const build: Reader<Build> = either(
  (context): Build => ({ context }),
  fields<Build>({
    context: text,
    dockerfile: text,
    dockerfile_inline: text,
    args: pairs,
    target: text,
    labels,
    cache_from: list(text),
    cache_to: list(text),
    no_cache: truth,
    pull: truth,
    platforms: list(text),
    tags: list(text),
    secrets: list(fileMount),
    ssh: (value, at) =>
      isRecord(value) ? Object.entries(labels(value, at)).map(([id, path]) => (path === '' ? id : `${id}=${path}`)) : texts(value, at),
    network: text,
    shm_size: size,
    additional_contexts: pairs,
    extra_hosts: hosts,
    ulimits: map(ulimit),
    entitlements: list(text),
    privileged: truth,
    isolation: text,
    provenance: text,
    sbom: text,
  }),
)

const device: Reader<string> = either(
  (word) => word,
  (value, at) => {
    const read = fields<{ source?: string; target?: string; permissions?: string }>({ source: text, target: text, permissions: text })(
      value,
      at,
    )
    if (read.source === undefined) throw wrong(at, 'its source is missing')
    return [read.source, read.target ?? read.source, read.permissions].filter((part) => part !== undefined).join(':')
  },
)

export const service: Reader<Service> = fields<Service>({
  image: text,
  build,
  command,
  entrypoint: command,
  container_name: text,
  environment: pairs,
  env_file: (value, at) => (Array.isArray(value) ? list(envFile)(value, at) : [envFile(value, at)]),
  ports,
  expose: list(text),
  volumes: list(mount),
  tmpfs: texts,
  networks: named(place, null),
  network_mode: text,
  depends_on: named(dependency, { condition: 'service_started' }),
  healthcheck,
  restart: (value, at) => (value === false ? 'no' : text(value, at)),
  profiles: list(text),
  secrets: list(fileMount),
  configs: list(fileMount),
  deploy,
  scale: whole,
  extends: either(
    (name): NonNullable<Service['extends']> => ({ service: name }),
    (value, at) => {
      const read = fields<{ service?: string; file?: string }>({ service: text, file: text })(value, at)
      if (read.service === undefined) throw wrong(at, 'it names no service')
      return { ...read, service: read.service }
    },
  ),
  labels,
  label_file: texts,
  annotations: labels,
  user: text,
  working_dir: text,
  hostname: text,
  domainname: text,
  stop_signal: text,
  stop_grace_period: duration,
  init: truth,
  privileged: truth,
  read_only: truth,
  tty: truth,
  stdin_open: truth,
  cap_add: list(text),
  cap_drop: list(text),
  devices: list(device),
  dns: texts,
  dns_search: texts,
  dns_opt: list(text),
  extra_hosts: hosts,
  links: list(text),
  external_links: list(text),
  ulimits: map(ulimit),
  sysctls: labels,
  shm_size: size,
  mem_limit: size,
  memswap_limit: size,
  mem_reservation: size,
  mem_swappiness: whole,
  cpus: number,
  cpu_count: number,
  cpu_percent: number,
  cpu_shares: whole,
  cpu_quota: text,
  cpu_period: text,
  cpu_rt_period: text,
  cpu_rt_runtime: text,
  cpuset: text,
  pids_limit: whole,
  pid: text,
  ipc: text,
  uts: text,
  userns_mode: text,
  cgroup: text,
  cgroup_parent: text,
  group_add: list(text),
  security_opt: list(text),
  logging: fields<NonNullable<Service['logging']>>({ driver: text, options: map(optionalText) }),
  platform: text,
  pull_policy: text,
  pull_refresh_after: text,
  oom_score_adj: whole,
  oom_kill_disable: truth,
  volumes_from: list(text),
  mac_address: text,
  runtime: text,
  isolation: text,
  attach: truth,
  blkio_config: anything,
  credential_spec: anything,
  develop: anything,
  device_cgroup_rules: list(text),
  gpus: anything,
  models: anything,
  post_start: anything,
  pre_stop: anything,
  provider: anything,
  storage_opt: anything,
  use_api_socket: truth,
})

/** `external: true`, or as it was once written, `external: { name: … }`. */
const external: Reader<boolean> = (value, at) => (isRecord(value) ? true : truth(value, at))

function oldName<T extends { name?: string; external?: boolean }>(reader: Reader<T>): Reader<T> {
  return (value, at) => {
    const read = reader(value, at)
    const old = isRecord(value) && isRecord(value['external']) ? value['external']['name'] : undefined
    return old === undefined ? read : { ...read, name: text(old, below(at, 'external', 'name')) }
  }
}

export const network: Reader<Network> = oldName(
  fields<Network>({
    name: text,
    driver: text,
    driver_opts: labels,
    ipam: fields<NonNullable<Network['ipam']>>({
      driver: text,
      config: list(
        fields<NonNullable<NonNullable<Network['ipam']>['config']>[number]>({
          subnet: text,
          gateway: text,
          ip_range: text,
          aux_addresses: anything,
        }),
      ),
      options: anything,
    }),
    external,
    internal: truth,
    attachable: truth,
    enable_ipv4: truth,
    enable_ipv6: truth,
    labels,
  }),
)

export const volume: Reader<Volume> = oldName(fields<Volume>({ name: text, driver: text, driver_opts: labels, external, labels }))

export const fileObject: Reader<FileObject> = oldName(
  fields<FileObject>({
    name: text,
    file: text,
    environment: text,
    content: text,
    external,
    labels,
    driver: text,
    driver_opts: labels,
    template_driver: text,
  }),
)

/** A path of a file, from the directory that it counts from. */
export function absolute(path: string, directory: string, home: string | undefined): string {
  if (path === '~' || path.startsWith('~/')) return posix.join(home ?? '/', path.slice(1))
  return isAbsolute(path) ? path : posix.join(directory, path)
}
