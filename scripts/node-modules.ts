import { join } from 'node:path'
import type { Plugin } from 'rolldown'

/** Parts of Node that take milliseconds to load and that many commands never come to use. */
const heavy = new Set([
  'node:crypto',
  'node:zlib',
  'node:fs/promises',
  'node:stream/promises',
  'node:timers/promises',
  'node:child_process',
])
const reserved = new Set(['default', 'delete', 'import', 'export', 'function', 'class', 'new', 'void', 'with'])
const sources = join(import.meta.dirname, '../src/')
const lazyPrefix = '\0node:'

/**
 * Makes our own imports of Node's modules cheap. An `import` of one evaluates all its exports, also those that load more
 * of Node when they are touched (`fs.ReadStream`); a property of the module itself does not. Functions and tables of
 * heavy modules load theirs when they are used first. What else such a module exports (classes) loads it at once, where it is used.
 */
export const nodeModules: Plugin = {
  name: 'node-modules',
  resolveId: (id, importer) => (id.startsWith('node:') && importer?.startsWith(sources) ? lazyPrefix + id : null),
  load(id) {
    if (!id.startsWith(lazyPrefix)) return null
    const name = id.slice(lazyPrefix.length)
    const module = process.getBuiltinModule(name) as Record<string, unknown>
    const get = `process.getBuiltinModule(${JSON.stringify(name)})`
    const lines = Object.keys(module).flatMap((key) => {
      if (!/^[a-z_$][\w$]*$/i.test(key) || reserved.has(key)) return []
      const isLazy = heavy.has(name) && /^[a-z]/.test(key) && typeof module[key] === 'function'
      if (heavy.has(name) && typeof module[key] === 'object') {
        return [`export const ${key} = /* @__PURE__ */ new Proxy({}, { get: (_, name) => ${get}.${key}[name] })`]
      }
      return [`export const ${key} = ${isLazy ? `(...values) => ${get}.${key}(...values)` : `/* @__PURE__ */ (() => ${get}.${key})()`}`]
    })
    return { code: [...lines, `export default /* @__PURE__ */ (() => ${get})()`].join('\n'), moduleSideEffects: false }
  },
}
