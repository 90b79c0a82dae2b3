import type { LintWarning } from './lint.ts'
import { ruleNames, rules } from './rules.ts'

/** Warnings for people: place, rule, message, and the line with a marker under the place. */
export function formatWarnings(warnings: readonly LintWarning[], text: string): string {
  const lines = text.split(/\r?\n/)
  return warnings.map((warning) => `${formatWarning(warning, lines)}\n`).join('\n')
}

function formatWarning({ rule, message, file, span }: LintWarning, lines: readonly string[]): string {
  const heading = `${file}:${span.line}:${span.column}: ${rule}: ${message}`
  const line = lines[span.line - 1]
  if (line === undefined) return heading
  const number = String(span.line)
  const end = span.endLine === span.line ? span.endColumn : line.length + 1
  // Tabs stay tabs, so that the marker stands under the text.
  const indent = line.slice(0, span.column - 1).replace(/[^\t]/g, ' ')
  const marker = '^'.repeat(Math.max(Math.min(end, line.length + 1) - span.column, 1))
  return `${heading}\n  ${number} | ${line}\n  ${' '.repeat(number.length)} | ${indent}${marker}`
}

/**
 * Warnings as SARIF, for code scanning.
 *
 * @param options.version of this program
 * @param options.isError they make the build fail
 * @see SARIF 2.1.0, §3.27 "result object", §3.30 "region object"
 */
export function warningsToSarif(
  warnings: readonly LintWarning[],
  options: { readonly version: string; readonly isError?: boolean },
): string {
  const document = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'stave',
            version: options.version,
            rules: ruleNames.map((id) => ({ id, name: id, shortDescription: { text: rules[id].description } })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: warnings.map(({ rule, message, file, span }) => ({
          ruleId: rule,
          ruleIndex: ruleNames.indexOf(rule),
          level: options.isError === true ? 'error' : 'warning',
          message: { text: message },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: encodeURI(file) },
                region: { startLine: span.line, startColumn: span.column, endLine: span.endLine, endColumn: span.endColumn },
              },
            },
          ],
        })),
      },
    ],
  }
  return `${JSON.stringify(document, null, 2)}\n`
}
