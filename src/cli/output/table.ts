import type { Report } from './report.ts'
import { compileTemplate } from './template.ts'

export interface Column<Row> {
  readonly heading: string
  value(row: Row): string
}

export interface ListOptions {
  readonly format?: string | undefined
  readonly json?: boolean | undefined
  readonly noheading?: boolean | undefined
}

/** Prints rows: as a table, as JSON, or by a template. `data` of a row is what JSON and templates see. */
export function printList<Row>(
  report: Report,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  data: (row: Row) => object,
  options: ListOptions,
): void {
  const format = options.json ? 'json' : options.format
  if (format === 'json') return report.json(rows.map(data))
  if (format !== undefined && format !== 'table') {
    const isTable = format.startsWith('table ')
    const render = compileTemplate(isTable ? format.slice(6) : format)
    const lines = rows.map((row) => render(data(row)))
    if (!isTable) return lines.forEach((line) => report.print(line))
    const headings = format
      .slice(6)
      .replace(/\{\{\s*\.(\w+)[^}]*\}\}/g, (_, name: string) => name.toUpperCase())
      .replaceAll(String.raw`\t`, '\t')
    return printCells(report, [headings.split('\t'), ...lines.map((line) => line.split('\t'))])
  }
  const cells = rows.map((row) => columns.map((column) => column.value(row)))
  printCells(report, options.noheading ? cells : [columns.map(({ heading }) => heading), ...cells])
}

/** Prints what `inspect` found: an array of JSON, or a line of each by a template. */
export function printDocuments(report: Report, found: readonly object[], format: string | undefined): void {
  if (format === undefined || format === 'json') return report.json(found)
  const render = compileTemplate(format)
  for (const one of found) report.print(render(one))
}

function printCells(report: Report, cells: readonly (readonly string[])[]): void {
  const widths = cells.reduce<number[]>((all, row) => row.map((cell, index) => Math.max(all[index] ?? 0, cell.length)), [])
  for (const row of cells)
    report.print(row.map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index]! + 2))).join(''))
}

/** `5 minutes ago` */
export function formatAge(when: Date, now = Date.now()): string {
  const seconds = Math.max(0, Math.floor((now - when.getTime()) / 1000))
  const units: [number, string][] = [
    [86_400 * 365, 'year'],
    [86_400 * 30, 'month'],
    [86_400 * 7, 'week'],
    [86_400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
  ]
  for (const [size, name] of units) {
    const count = Math.floor(seconds / size)
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'} ago`
  }
  return seconds < 1 ? 'just now' : `${seconds} second${seconds === 1 ? '' : 's'} ago`
}
