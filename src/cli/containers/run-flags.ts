import { absentCreateFlags } from './absent-flags.ts'
import { createFlags } from './create-flags.ts'
import type { Flag } from '../command.ts'
import { idleFlags } from '../program-flags.ts'
import { dockerRunFlags, podmanRunFlags } from './peer-flags.ts'

/** What a flag of docker or podman is here. */
export interface PeerFlag {
  readonly name: string
  readonly docker: boolean
  readonly podman: boolean
  readonly here: 'works' | 'accepted' | 'refused'
  /** What it does, why it has no effect, or what to do instead. */
  readonly text: string
}

/** Every flag of `docker run` and `podman run`, by name. A flag that nobody has thought of is undefined. */
export function peerFlags(): readonly (PeerFlag | string)[] {
  const names = [...new Set([...dockerRunFlags, ...podmanRunFlags])].toSorted()
  return names.map((name): PeerFlag | string => {
    const common = { name, docker: dockerRunFlags.includes(name), podman: podmanRunFlags.includes(name) }
    const flag = flagOf(name)
    if (flag !== undefined) return { ...common, here: flag.hidden === true ? 'accepted' : 'works', text: textOf(flag) }
    const instead = absentCreateFlags[`--${name}`]
    return instead === undefined ? name : { ...common, here: 'refused', text: instead }
  })
}

function flagOf(name: string): Flag | undefined {
  // Some are understood before or after every command.
  const flags: Readonly<Record<string, Flag>> = { ...idleFlags, ...createFlags }
  return flags[name] ?? Object.values(flags).find(({ aliases }) => aliases?.includes(name))
}

function textOf({ doc, choices, hidden, instead }: Flag): string {
  if (hidden === true) return `${doc}.${instead === undefined ? '' : ` Another value is refused: ${instead}`}`
  return choices === undefined ? `${doc}.` : `${doc} (${choices.filter((choice) => choice !== '').join(', ')}).`
}

/** `docs/run-flags.md`. */
export function runFlagsPage(): string {
  const rows = peerFlags().flatMap((flag) => {
    if (typeof flag === 'string') return []
    const of = [flag.docker ? 'docker' : '', flag.podman ? 'podman' : ''].filter((peer) => peer !== '').join(', ')
    return [`| \`--${flag.name}\` | ${of} | ${flag.here} | ${flag.text.replaceAll('|', '\\|')} |`]
  })
  return [
    '# The flags of docker run and podman run',
    '',
    'What each flag of `docker run` 28 and `podman run` 5 is for `stave run` and `stave create`: **works**; is **accepted** and has',
    'no effect, since what it asks for is so anyway; or is **refused**, with what to do instead. This page is generated from the',
    'table of flags (`npm run docs`).',
    '',
    '| flag | of | here | |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}
