import { parse, TomlError, type TomlTable } from 'smol-toml'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'

/**
 * Reads a TOML document.
 *
 * @param file its name, for messages
 * @throws StaveError `invalid-document` with the place
 * @see https://toml.io/en/v1.0.0
 */
export function parseToml(text: string, file: string): TomlTable {
  try {
    return parse(text, { maxDepth: limit.tomlDepth })
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause
    const { line, column } = cause
    // The parser's message goes on with the lines around the place, which the span shows anyway.
    const why = cause.message.split('\n')[0]!.replace(/^Invalid TOML document: /, '')
    throw new StaveError('invalid-document', `cannot read ${file}: ${why} (line ${line}, column ${column})`, {
      span: { file, line, column, endLine: line, endColumn: column + 1 },
      text,
    })
  }
}
