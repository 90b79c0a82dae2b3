/** A project as its files describe it, in one form: every short form is written out. @see Compose specification */
export interface Project {
  readonly name: string
  readonly services: Readonly<Record<string, Service>>
  readonly networks: Readonly<Record<string, Network>>
  readonly volumes: Readonly<Record<string, Volume>>
  readonly configs: Readonly<Record<string, FileObject>>
  readonly secrets: Readonly<Record<string, FileObject>>
}

export interface Build {
  readonly context?: string
  readonly dockerfile?: string
  readonly dockerfile_inline?: string
  readonly args?: Readonly<Record<string, string | null>>
  readonly target?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly cache_from?: readonly string[]
  readonly cache_to?: readonly string[]
  readonly no_cache?: boolean
  readonly pull?: boolean
  readonly platforms?: readonly string[]
  readonly tags?: readonly string[]
  readonly secrets?: readonly FileMount[]
  readonly ssh?: readonly string[]
  readonly network?: string
  readonly shm_size?: string
  readonly additional_contexts?: Readonly<Record<string, string | null>>
  readonly extra_hosts?: readonly string[]
  readonly ulimits?: Readonly<Record<string, Ulimit>>
  readonly entitlements?: readonly string[]
  readonly privileged?: boolean
  readonly isolation?: string
  readonly provenance?: string
  readonly sbom?: string
}

export interface Port {
  readonly target: string
  readonly published?: string
  readonly host_ip?: string
  readonly protocol: string
  readonly mode?: string
  readonly name?: string
  readonly app_protocol?: string
}

export interface Mount {
  readonly type: 'bind' | 'volume' | 'tmpfs' | 'image' | 'npipe' | 'cluster'
  readonly source?: string
  readonly target: string
  readonly read_only?: boolean
  readonly consistency?: string
  readonly bind?: {
    readonly propagation?: string
    readonly create_host_path?: boolean
    readonly selinux?: string
    readonly recursive?: string
  }
  readonly volume?: { readonly nocopy?: boolean; readonly subpath?: string; readonly labels?: Readonly<Record<string, string>> }
  readonly tmpfs?: { readonly size?: string; readonly mode?: number }
  readonly image?: { readonly subpath?: string }
}

export interface Place {
  readonly aliases?: readonly string[]
  readonly ipv4_address?: string
  readonly ipv6_address?: string
  readonly mac_address?: string
  readonly interface_name?: string
  readonly priority?: number
  readonly gw_priority?: number
  readonly link_local_ips?: readonly string[]
  readonly driver_opts?: Readonly<Record<string, string>>
}

export type Condition = 'service_started' | 'service_healthy' | 'service_completed_successfully'

export interface Dependency {
  readonly condition: Condition
  readonly restart?: boolean
  /** False: it may be absent. */
  readonly required?: boolean
}

export interface Healthcheck {
  readonly test?: readonly string[]
  readonly interval?: string
  readonly timeout?: string
  readonly start_period?: string
  readonly start_interval?: string
  readonly retries?: number
  readonly disable?: boolean
}

/** A secret or config that a service uses. */
export interface FileMount {
  readonly source: string
  readonly target?: string
  readonly uid?: string
  readonly gid?: string
  readonly mode?: number
}

export interface EnvFile {
  readonly path: string
  readonly required?: boolean
  readonly format?: string
}

export interface Ulimit {
  readonly soft: number
  readonly hard: number
}

export interface Resources {
  readonly cpus?: number
  readonly memory?: string
  readonly pids?: number
  readonly devices?: unknown
  readonly generic_resources?: unknown
}

export interface Deploy {
  readonly mode?: string
  readonly replicas?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly resources?: { readonly limits?: Resources; readonly reservations?: Resources }
  readonly restart_policy?: {
    readonly condition?: string
    readonly delay?: string
    readonly max_attempts?: number
    readonly window?: string
  }
  readonly endpoint_mode?: string
  readonly placement?: unknown
  readonly update_config?: unknown
  readonly rollback_config?: unknown
}

export interface Service {
  readonly image?: string
  readonly build?: Build
  readonly command?: readonly string[] | null
  readonly entrypoint?: readonly string[] | null
  readonly container_name?: string
  readonly environment?: Readonly<Record<string, string | null>>
  readonly env_file?: readonly EnvFile[]
  readonly ports?: readonly Port[]
  readonly expose?: readonly string[]
  readonly volumes?: readonly Mount[]
  readonly tmpfs?: readonly string[]
  readonly networks?: Readonly<Record<string, Place | null>>
  readonly network_mode?: string
  readonly depends_on?: Readonly<Record<string, Dependency>>
  readonly healthcheck?: Healthcheck
  readonly restart?: string
  readonly profiles?: readonly string[]
  readonly secrets?: readonly FileMount[]
  readonly configs?: readonly FileMount[]
  readonly deploy?: Deploy
  readonly scale?: number
  readonly extends?: { readonly service: string; readonly file?: string }
  readonly labels?: Readonly<Record<string, string>>
  readonly label_file?: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly user?: string
  readonly working_dir?: string
  readonly hostname?: string
  readonly domainname?: string
  readonly stop_signal?: string
  readonly stop_grace_period?: string
  readonly init?: boolean
  readonly privileged?: boolean
  readonly read_only?: boolean
  readonly tty?: boolean
  readonly stdin_open?: boolean
  readonly cap_add?: readonly string[]
  readonly cap_drop?: readonly string[]
  readonly devices?: readonly string[]
  readonly dns?: readonly string[]
  readonly dns_search?: readonly string[]
  readonly dns_opt?: readonly string[]
  readonly extra_hosts?: readonly string[]
  readonly links?: readonly string[]
  readonly external_links?: readonly string[]
  readonly ulimits?: Readonly<Record<string, Ulimit>>
  readonly sysctls?: Readonly<Record<string, string>>
  readonly shm_size?: string
  readonly mem_limit?: string
  readonly memswap_limit?: string
  readonly mem_reservation?: string
  readonly mem_swappiness?: number
  readonly cpus?: number
  readonly cpu_count?: number
  readonly cpu_percent?: number
  readonly cpu_shares?: number
  readonly cpu_quota?: string
  readonly cpu_period?: string
  readonly cpu_rt_period?: string
  readonly cpu_rt_runtime?: string
  readonly cpuset?: string
  readonly pids_limit?: number
  readonly pid?: string
  readonly ipc?: string
  readonly uts?: string
  readonly userns_mode?: string
  readonly cgroup?: string
  readonly cgroup_parent?: string
  readonly group_add?: readonly string[]
  readonly security_opt?: readonly string[]
  readonly logging?: { readonly driver?: string; readonly options?: Readonly<Record<string, string | null>> }
  readonly platform?: string
  readonly pull_policy?: string
  readonly pull_refresh_after?: string
  readonly oom_score_adj?: number
  readonly oom_kill_disable?: boolean
  readonly volumes_from?: readonly string[]
  readonly mac_address?: string
  readonly runtime?: string
  readonly isolation?: string
  readonly attach?: boolean
  readonly blkio_config?: unknown
  readonly credential_spec?: unknown
  readonly develop?: unknown
  readonly device_cgroup_rules?: readonly string[]
  readonly gpus?: unknown
  readonly models?: unknown
  readonly post_start?: unknown
  readonly pre_stop?: unknown
  readonly provider?: unknown
  readonly storage_opt?: unknown
  readonly use_api_socket?: boolean
}

export interface Network {
  readonly name?: string
  readonly driver?: string
  readonly driver_opts?: Readonly<Record<string, string>>
  readonly ipam?: {
    readonly driver?: string
    readonly config?: readonly {
      readonly subnet?: string
      readonly gateway?: string
      readonly ip_range?: string
      readonly aux_addresses?: unknown
    }[]
    readonly options?: unknown
  }
  readonly external?: boolean
  readonly internal?: boolean
  readonly attachable?: boolean
  readonly enable_ipv4?: boolean
  readonly enable_ipv6?: boolean
  readonly labels?: Readonly<Record<string, string>>
}

export interface Volume {
  readonly name?: string
  readonly driver?: string
  readonly driver_opts?: Readonly<Record<string, string>>
  readonly external?: boolean
  readonly labels?: Readonly<Record<string, string>>
}

/** A secret or config of the project: where its content is. */
export interface FileObject {
  readonly name?: string
  readonly file?: string
  readonly environment?: string
  readonly content?: string
  readonly external?: boolean
  readonly labels?: Readonly<Record<string, string>>
  readonly driver?: string
  readonly driver_opts?: Readonly<Record<string, string>>
  readonly template_driver?: string
}
