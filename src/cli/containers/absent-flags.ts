const pods = 'There are no pods. With --network container:ID containers share one network, and reach each other over localhost.'
const realTime = 'Real-time scheduling of groups is not in the kernels of distributions. Use --cpus and --cpu-shares.'
const windows = 'It is for containers of Windows. Use --cpus.'
const files = 'Write it in the image, or mount the file: --volume FILE:/etc/passwd.'
const descriptors = 'A container gets the three standard streams. Mount what else it needs, or a socket of it.'
const ids = 'As an ordinary user, stave uses the ids of /etc/subuid and /etc/subgid. Run it as another user to have others.'
const healthLog = 'The last five results are kept, with the first 4096 bytes of each: stave inspect shows them.'
const startup = 'Give it time with --health-start-period: failures in it do not count, and the first success ends it.'

/** Flags of `docker run` and `podman run` that there are not, and what to do instead. */
export const absentCreateFlags: Readonly<Record<string, string>> = {
  '--link': 'Containers of one network find each other by name: stave network create.',
  '--link-local-ip': 'Addresses are given with --ip and --ip6.',
  '--gpus': 'Pass the devices with --device.',
  '--use-api-socket': 'There is no daemon, and so no socket of one.',
  '--pod': pods,
  '--pod-id-file': pods,
  '--cpu-rt-period': realTime,
  '--cpu-rt-runtime': realTime,
  '--cpu-count': windows,
  '--cpu-percent': windows,
  '--io-maxbandwidth': windows,
  '--io-maxiops': windows,
  '--exec-opt': 'It set how a daemon runs containers, and there is none.',
  '--storage-opt': 'A container may write as much as the file system of the store holds; --read-only and --tmpfs DST:size=… limit it.',
  '--init-path': 'The init of --init is built in.',
  '--secret': 'Mount the file: --mount type=bind,src=FILE,dst=/run/secrets/NAME,ro.',
  '--rootfs': 'Make an image of the directory: tar -c -C DIR . | stave import - NAME.',
  '--requires': 'Start them in order; stave wait --condition healthy waits for one that is to be ready.',
  '--env-merge': 'Set it in the command: sh -c "NAME=${NAME}…; exec …".',
  '--group-entry': files,
  '--passwd-entry': files,
  '--hosts-file': 'Mount it: --volume FILE:/etc/hosts.',
  '--hostuser': files,
  '--chrootdirs': 'Mount what those directories are to have with --volume.',
  '--conmon-pidfile': "The process that watches a container needs no watching. --pidfile has the container's own.",
  '--decryption-key': 'Encrypted layers are not read: decrypt the image first, with skopeo copy --decryption-key.',
  '--permissive': 'There is nothing to be permissive about: SELinux labels are left as they are.',
  '--personality': 'Set it in the command: setarch.',
  '--preserve-fd': descriptors,
  '--preserve-fds': descriptors,
  '--rdt-class': 'Start stave itself in that class.',
  '--retry': 'A request that fails is tried four times again in any case.',
  '--retry-delay': 'A request that fails is tried again in growing intervals in any case.',
  '--shm-size-systemd': 'Mount it: --tmpfs /run:size=….',
  '--subgidname': ids,
  '--subuidname': ids,
  '--uidmap': ids,
  '--gidmap': ids,
  '--health-log-destination': healthLog,
  '--health-max-log-count': healthLog,
  '--health-max-log-size': healthLog,
  '--health-startup-cmd': startup,
  '--health-startup-interval': startup,
  '--health-startup-retries': startup,
  '--health-startup-success': startup,
  '--health-startup-timeout': startup,
}
