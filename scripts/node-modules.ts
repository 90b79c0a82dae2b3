import { join } from 'node:path'
import type { Plugin } from 'rolldown'

/** Parts of Node that take milliseconds to load and that many commands never come to use. */
const heavy = new Set([
  'node:crypto',
  'node:dns',
  'node:net',
  'node:tls',
  'node:zlib',
  'node:fs/promises',
  'node:stream/promises',
  'node:timers/promises',
  'node:child_process',
])
const reserved = new Set(['default', 'delete', 'import', 'export', 'function', 'class', 'new', 'void', 'with'])
const sources = join(import.meta.dirname, '../src/')
const lazyPrefix = '\0node:'
const lighterPrefix = '\0undici:'
/** Whoever asks the global `performance` for the time loads all that measures with it: ours has a clock alone. */
const clock = '\0clock'

/**
 * Makes imports of Node's modules cheap, so that a command loads the part of Node that it uses.
 *
 * In our own code, an `import` of such a module evaluates all its exports, also those that load more of Node when they
 * are touched (`fs.ReadStream`); a property of the module itself does not. What heavy modules export loads theirs when
 * it is used first.
 *
 * undici takes whole what it needs for cases that are none of ours, see {@link lighter}.
 */
export const nodeModules: Plugin = {
  name: 'node-modules',
  resolveId(id, importer) {
    if (id === clock) return id
    if (id.startsWith('node:') && importer?.startsWith(sources)) return lazyPrefix + id
    const wanted = importer?.includes('/node_modules/undici/lib/') === true && lighter[id] !== undefined
    return wanted ? `${lighterPrefix}${id}\0${importer}` : null
  },
  transform(code, id) {
    return id.startsWith(sources) && code.includes('performance.now()')
      ? `import { performance } from ${JSON.stringify(clock)}\n${code}`
      : null
  },
  load(id) {
    if (id === clock)
      return { code: 'export const performance = { now: () => Number(process.hrtime.bigint()) / 1e6 }', moduleSideEffects: false }
    if (id.startsWith(lighterPrefix)) {
      const [wanted, importer] = id.slice(lighterPrefix.length).split('\0') as [string, string]
      return lighter[wanted]!(join(importer, '..', wanted))
    }
    if (!id.startsWith(lazyPrefix)) return null
    const name = id.slice(lazyPrefix.length)
    return { code: heavy.has(name) ? lazily(name) : atOnce(name), moduleSideEffects: false }
  },
}

function exportsOf(name: string): ReadonlyArray<readonly [string, unknown]> {
  const module = process.getBuiltinModule(name) as Record<string, unknown>
  return Object.entries(module).filter(([key]) => /^[a-z_$][\w$]*$/i.test(key) && !reserved.has(key))
}

function atOnce(name: string): string {
  const get = builtin(name)
  const lines = exportsOf(name).map(([key]) => `export const ${key} = /* @__PURE__ */ (() => ${get}.${key})()`)
  return [...lines, `export default /* @__PURE__ */ (() => ${get})()`].join('\n')
}

/** Does a module of the bundle cost nothing until it is used? Such ones are best where they need no chunk of their own. */
export function isLazy(id: string): boolean {
  return id === clock || id === '\0rolldown/runtime.js' || (id.startsWith(lazyPrefix) && heavy.has(id.slice(lazyPrefix.length)))
}

/** A function of ours for each of the module's; what is asked for a property (a table, a class, the whole) looks when it is. */
function lazily(name: string): string {
  const get = builtin(name)
  const lines = exportsOf(name).map(([key, value]) => {
    if (typeof value !== 'function' && typeof value !== 'object') return `export const ${key} = /* @__PURE__ */ (() => ${get}.${key})()`
    if (typeof value === 'function' && /^[a-z]/.test(key)) return `export const ${key} = (...values) => ${get}.${key}(...values)`
    const target = typeof value === 'function' ? 'function () {}' : '{}'
    const construct = `construct: (_, values, made) => Reflect.construct(${get}.${key}, values, made)`
    return `export const ${key} = /* @__PURE__ */ new Proxy(${target}, { get: (_, name) => ${get}.${key}[name], ${construct} })`
  })
  return [...lines, `export default /* @__PURE__ */ new Proxy({}, { get: (_, name) => ${get}[name] })`].join('\n')
}

function builtin(name: string): string {
  return `process.getBuiltinModule(${JSON.stringify(name)})`
}

/** What undici gets instead of these, given their absolute path. */
const lighter: Readonly<Record<string, (path: string) => string>> = {
  // Its printer of differences is needed when an assertion fails.
  'node:assert': () => `module.exports = function assert(value, ...rest) { if (!value) ${builtin('node:assert')}(value, ...rest) }
for (const name of ${JSON.stringify(Object.keys(process.getBuiltinModule('node:assert')))})
  Object.defineProperty(module.exports, name, { get: () => ${builtin('node:assert')}[name] })`,
  // It is asked for the largest header, which we name ourselves, and for the class of a request that a server got, which we never send on.
  'node:http': () =>
    `module.exports = { maxHeaderSize: ${process.getBuiltinModule('node:http').maxHeaderSize}, IncomingMessage: class {} }`,
  // HTTP/2 is not offered.
  './client-h2.js': (path) => `module.exports = (...values) => require(${JSON.stringify(path)})(...values)`,
}
