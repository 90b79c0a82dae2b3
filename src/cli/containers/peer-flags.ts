/** The flags that `docker run` 28 and `podman run` 5 know: each is here in some way, and `docs/run-flags.md` says in which. */
export const dockerRunFlags: readonly string[] = (
  'add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile cpu-count ' +
  'cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys ' +
  'device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust dns ' +
  'dns-opt dns-option dns-search domainname entrypoint env env-file exec-opt expose gpus group-add health-cmd ' +
  'health-interval health-retries health-start-interval health-start-period health-timeout hostname init interactive ' +
  'io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip log-driver log-opt ' +
  'mac-address memory memory-reservation memory-swap memory-swappiness mount name net net-alias network network-alias ' +
  'no-healthcheck oom-kill-disable oom-score-adj pid pids-limit platform privileged publish publish-all pull quiet ' +
  'read-only restart rm runtime security-opt shm-size sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty ' +
  'ulimit use-api-socket user userns uts volume volume-driver volumes-from workdir'
).split(' ')

export const podmanRunFlags: readonly string[] = (
  'add-host annotation arch attach authfile blkio-weight blkio-weight-device cap-add cap-drop cert-dir cgroup-conf ' +
  'cgroup-parent cgroupns cgroups chrootdirs cidfile conmon-pidfile cpu-period cpu-quota cpu-rt-period cpu-rt-runtime ' +
  'cpu-shares cpus cpuset-cpus cpuset-mems creds decryption-key detach detach-keys device device-cgroup-rule ' +
  'device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust dns dns-option dns-search ' +
  'entrypoint env env-file env-host env-merge expose gidmap gpus group-add group-entry health-cmd health-interval ' +
  'health-log-destination health-max-log-count health-max-log-size health-on-failure health-retries health-start-period ' +
  'health-startup-cmd health-startup-interval health-startup-retries health-startup-success health-startup-timeout ' +
  'health-timeout hostname hosts-file hostuser http-proxy image-volume init init-path interactive ip ip6 ipc label ' +
  'label-file link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness mount ' +
  'name network network-alias no-healthcheck no-hostname no-hosts oom-kill-disable oom-score-adj os passwd passwd-entry ' +
  'permissive personality pid pidfile pids-limit platform pod pod-id-file preserve-fd preserve-fds privileged publish ' +
  'publish-all pull quiet rdt-class read-only read-only-tmpfs replace requires restart retry retry-delay rm rmi rootfs ' +
  'sdnotify seccomp-policy secret security-opt shm-size shm-size-systemd sig-proxy stop-signal stop-timeout subgidname ' +
  'subuidname sysctl systemd timeout tls-verify tmpfs tty tz uidmap ulimit umask unsetenv unsetenv-all user userns uts ' +
  'variant volume volumes-from workdir'
).split(' ')
