import type { Flag, Flags } from './command.ts'

/**
 * Flags of docker and podman with which scripts ask for what is so anyway. Any other value would be a wish that is not
 * fulfilled, and is refused.
 *
 * @param value Those that are understood; the first is the default there.
 * @param instead What to do in place of another one.
 */
function neutral(value: readonly [string, ...string[]], instead: string): Flag {
  return {
    kind: 'string',
    hidden: true,
    value: value[0],
    choices: value,
    instead,
    doc: `Accepted as it is: ${value.filter(Boolean).join(', ')}`,
  }
}

/** The same of a flag without a value, which means `true`. */
function neutralSwitch(value: 'true' | 'false', instead: string): Flag {
  return { ...neutral([value], instead), bare: 'true' }
}

const cgroups = 'A container has a control group of its own; limit it with --memory, --cpus and their like.'

/** Of `run` and `create`. A flag that the command itself has stands in their place. */
export const neutralRunFlags = {
  cgroups: neutral(['enabled'], cgroups),
  'kernel-memory': neutral(['0', ''], 'Kernel memory counts as memory: --memory.'),
  'oom-kill-disable': neutralSwitch('false', 'What needs more memory than its limit is killed; --oom-score-adj says how early.'),
  'disable-content-trust': neutralSwitch('true', 'Say whom to trust in policy.json: --signature-policy FILE.'),
  systemd: neutral(['true', 'false', ''], 'Mount what systemd needs: --tmpfs /run --tmpfs /tmp.'),
  'volume-driver': neutral(['local', ''], 'Volumes are directories of the store.'),
  passwd: neutralSwitch('false', 'Add the user to /etc/passwd of the image.'),
  rmi: neutralSwitch('false', 'Remove the image afterwards: stave rmi.'),
} as const satisfies Flags

const ownNamespaces = 'RUN has namespaces of its own; run stave as another user than root for a user namespace.'

/** Of `build`. */
export const neutralBuildFlags = {
  cgroupns: neutral(['private', ''], ownNamespaces),
  pid: neutral(['private', 'container', ''], ownNamespaces),
  ipc: neutral(['private', 'container', ''], ownNamespaces),
  uts: neutral(['private', 'container', ''], ownNamespaces),
  userns: neutral(['host', ''], ownNamespaces),
  'cgroup-parent': neutral([''], 'Limit RUN with --memory, --cpus and their like.'),
  'disable-content-trust': neutralSwitch('true', 'Say whom to trust in policy.json: --signature-policy FILE.'),
  'inherit-labels': neutralSwitch('true', 'Take labels away with --unsetlabel.'),
  'volume-driver': neutral(['local', ''], 'Volumes are directories of the store.'),
} as const satisfies Flags
