import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { StaveError, type Span } from '#error.ts'
import * as limit from '#limit.ts'

export interface ErrorTextOptions {
  readonly color: boolean
  /** Show stacks. */
  readonly debug: boolean
  readonly cwd: string
}

/**
 * An error as a person reads it: what failed, the line it is about, why, and what to do.
 *
 *     error: cannot push ghcr.io/acme/web:1.2: denied
 *       cause: POST https://ghcr.io/v2/acme/web/blobs/uploads/ → 403 DENIED
 *       hint:  Log in with stave login ghcr.io.
 */
export function formatError(error: unknown, options: ErrorTextOptions): string {
  const paint = (code: string, text: string) => (options.color ? `\u001B[${code}m${text}\u001B[0m` : text)
  if (!(error instanceof StaveError)) return unexpected(error, options)
  const lines = [`${paint('1;31', 'error:')} ${clean(options.debug ? error.message : inWords(error.message))}`]
  if (error.span) lines.push(...excerpt(error.span, error.text, options, paint))
  for (const cause of causes(error, options.debug)) lines.push(`  ${paint('2', 'cause:')} ${indent(clean(cause))}`)
  if (error.hint) lines.push(`  ${paint('36', 'hint:')}  ${indent(clean(error.hint))}`)
  if (options.debug && error.stack) lines.push(error.stack)
  return lines.join('\n')
}

function unexpected(error: unknown, options: ErrorTextOptions): string {
  const what = error instanceof Error ? error : new Error(String(error))
  if (isSystemError(what)) {
    const hint = hints[what.code]
    const lines = [
      `error: ${clean(options.debug ? what.message : inWords(what.message))}`,
      ...(hint === undefined ? [] : [`  hint:  ${hint}`]),
    ]
    return [...lines, ...(options.debug && what.stack ? [what.stack] : [])].join('\n')
  }
  const lines = [
    `error: internal error: ${clean(what.message)}`,
    '  hint:  This is a fault of stave. Please report it, with the output of the same command and --debug.',
  ]
  if (options.debug && what.stack) lines.push(what.stack)
  return lines.join('\n')
}

/** A refusal of the operating system that nobody put into words is still the machine's, not a fault of ours. */
function isSystemError(error: Error): error is Error & { code: string } {
  return 'syscall' in error && 'code' in error && typeof error.code === 'string'
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'Free space on that disk: stave prune removes what is not used.',
  EDQUOT: 'Your quota on that disk is used up: stave prune removes what is not used.',
  EMFILE: 'Allow more open files: ulimit -n.',
  EROFS: 'That file system is mounted read-only.',
}

/** The messages of the cause chain that say something which the one before did not. Which call it was, is for who asks for it. */
function causes(error: StaveError, debug: boolean): string[] {
  const messages: string[] = []
  let said = inWords(error.message)
  for (let cause = error.cause, depth = 0; cause !== undefined && depth < 8; depth++) {
    const raw = cause instanceof Error ? cause.message : String(cause)
    const message = debug ? raw : cause instanceof Error && cause.name === 'RunnerFailure' ? '' : inWords(raw)
    if (message !== '' && !said.includes(message)) {
      messages.push(message)
      said = message
    }
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return messages
}

/** What Node and the resolver say (`ENOENT: no such file or directory, stat '/x'`), without the names of errors and calls. */
function inWords(message: string): string {
  return message
    .replace(/\bE[A-Z]{2,}\d?: ([^,]+), \w+(?: '([^']*)')?(?: -> '([^']*)')?/g, (_all, why: string, path?: string, to?: string) => {
      const where = to ?? path
      return where === undefined || message.slice(0, message.indexOf(why)).includes(where) ? why : `${where}: ${why}`
    })
    .replace(/\bconnect (E[A-Z]+) (\S+)/g, (_all, code: string, address: string) => `${refusals[code] ?? 'no connection'} (${address})`)
    .replace(/\bgetaddrinfo E[A-Z_]+ (\S+)/g, 'the name $1 is unknown')
    .replace(/\bread ECONNRESET\b/g, 'the connection was broken off')
}

const refusals: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
  ETIMEDOUT: 'it did not answer in time',
}

/** The source lines under a span with a marker below, as compilers do. */
function excerpt(span: Span, text: string | undefined, options: ErrorTextOptions, paint: (code: string, text: string) => string): string[] {
  const head = `  ${paint('2', '-->')} ${span.file}:${span.line}:${span.column}`
  const line = (text ?? read(span.file, options.cwd))?.split('\n')[span.line - 1]?.replace(/\r$/, '')
  if (line === undefined) return [head]
  const number = String(span.line)
  const gutter = ' '.repeat(number.length)
  const shown = clean(line).replaceAll('\t', ' ').slice(0, 200)
  const start = Math.min(Math.max(span.column - 1, 0), shown.length)
  const end = span.endLine > span.line ? shown.trimEnd().length : Math.min(span.endColumn - 1, shown.length)
  const marker = ' '.repeat(start) + '^'.repeat(Math.max(end - start, 1))
  return [
    head,
    `  ${paint('2', `${gutter} |`)}`,
    `  ${paint('2', `${number} |`)} ${shown}`,
    `  ${paint('2', `${gutter} |`)} ${paint('1;31', marker)}`,
  ]
}

function read(file: string, cwd: string): string | undefined {
  try {
    const path = resolve(cwd, file)
    const found = statSync(path)
    return found.isFile() && found.size <= limit.dockerfileBytes ? readFileSync(path, 'utf8') : undefined
  } catch {
    return undefined
  }
}

function indent(text: string): string {
  return text.replaceAll('\n', '\n         ')
}

/** Control characters of what came from outside must not reach the terminal. */
export function clean(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(
    /[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}
