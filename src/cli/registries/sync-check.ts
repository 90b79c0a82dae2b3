import { StaveError } from '#error.ts'
import { isNameOnly } from '#mirror/wanted.ts'
import type { Values } from '../command.ts'
import type { syncFlags } from './commands.ts'

type SyncFlags = Values<typeof syncFlags>

/** Are these words of one meaning? @throws StaveError `usage` */
export function checkSync(flags: SyncFlags, [source, target]: readonly string[]): void {
  if (flags['preserve-digests'] && flags.format !== undefined)
    throw new StaveError('usage', '--preserve-digests and --format exclude each other: another format has another digest')

  if (flags.apply !== undefined) return checkApply(flags, source)
  if (source === undefined || target === undefined) {
    throw new StaveError('usage', `stave sync: ${source === undefined ? 'SOURCE and TARGET are' : 'TARGET is'} missing`, {
      hint: 'Usage: stave sync [FLAGS] SOURCE TARGET, or stave sync --apply FILE. See stave sync --help.',
    })
  }
  for (const name of ['src', 'dest'] as const) {
    if (flags[name] !== undefined) continue
    throw new StaveError('usage', `stave sync: --${name} is missing`, {
      hint: 'Say what both are, such as --src docker --dest dir. See stave sync --help.',
    })
  }
  if (flags.src === 'dir' && flags.dest === 'dir') {
    throw new StaveError('usage', 'stave sync: a directory is not synced to a directory', {
      hint: 'cp -a and rsync copy such images as they are.',
    })
  }
  if (flags.prune && (flags.dest !== 'docker' || !isAll(flags, source))) {
    throw new StaveError('usage', 'stave sync: --prune is for whole repositories that are synced to a registry', {
      hint: 'Of one image, or of a directory, nobody knows what else there should be.',
    })
  }
  for (const operand of [source, target]) {
    const prefix = /^(?:docker:\/\/|dir:)/.exec(operand)?.[0]
    if (prefix === undefined) continue
    throw new StaveError('usage', `stave sync: ${JSON.stringify(operand)} begins with a transport`, {
      hint: `Write ${operand.slice(prefix.length)}: --src and --dest say what it is.`,
    })
  }
  if (flags.plan === undefined || flags.watch === undefined) return
  throw new StaveError('usage', 'stave sync: --plan is made once, and not with --watch')
}

/** What a plan says is not said again. */
function checkApply(flags: SyncFlags, source: string | undefined): void {
  const other = (['src', 'dest', 'plan', 'prune', 'dry-run', 'watch', 'format', 'scoped', 'referrers', 'append-suffix'] as const).find(
    (name) => flags[name] !== undefined,
  )
  if (source === undefined && other === undefined) return
  throw new StaveError(
    'usage',
    `stave sync: --apply excludes ${other === undefined ? 'SOURCE and TARGET' : `--${other}`}: the plan says it`,
  )
}

/** Does the source say all that is to be there? */
function isAll(flags: SyncFlags, source: string): boolean {
  return flags.src === 'yaml' || (flags.src === 'docker' && isNameOnly(source))
}
