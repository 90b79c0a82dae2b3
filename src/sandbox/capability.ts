import { StaveError } from '#error.ts'

/** Every capability that Linux has (capabilities(7), as of 5.9: none was added since). */
export const allCapabilities: readonly string[] = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN ' +
  'NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME ' +
  'SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON ' +
  'BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map((name) => `CAP_${name}`)

/** What a container has unless told otherwise: Docker's fourteen. */
export const defaultCapabilities: readonly string[] =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`)

/** Docker's rule for `--cap-add` and `--cap-drop`: `ALL` on one side leaves what the other side names as the exception. */
export function chooseCapabilities(add: readonly string[] = [], drop: readonly string[] = []): string[] {
  const added = add.flatMap(names)
  const dropped = new Set(drop.flatMap(names))
  if (added.includes('ALL')) return allCapabilities.filter((name) => !dropped.has(name))
  if (dropped.has('ALL')) return [...new Set(added)]
  return [...new Set([...defaultCapabilities, ...added])].filter((name) => !dropped.has(name) || added.includes(name))
}

/** Several may stand in one word, between commas. */
function names(text: string): string[] {
  return text.split(',').map(normalize)
}

function normalize(text: string): string {
  const upper = text.trim().toUpperCase()
  if (upper === 'ALL') return upper
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (!allCapabilities.includes(name))
    throw new StaveError('usage', `cannot use capability ${JSON.stringify(text)}: Linux has no such capability`)
  return name
}
