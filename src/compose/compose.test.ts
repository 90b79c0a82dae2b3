import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import * as limit from '#limit.ts'
import { StaveError } from '#error.ts'
import { parseEnvFile } from './env-file.ts'
import { interpolate } from './interpolate.ts'
import { loadProject, type Loaded, type LoadOptions } from './load.ts'
import { waves } from './order.ts'
import { splitWords } from './words.ts'

// A number that is soon reached: one past it is tried.
vi.mock('#limit.ts', async (original) => ({ ...(await original<typeof limit>()), composeNodes: 30_000 }))

const variables = (name: string) => ({ SET: 'value', EMPTY: '', NESTED: '$SET' })[name]

describe('variables', () => {
  test.each([
    ['$SET', 'value'],
    ['${SET}', 'value'],
    ['a$SET-b', 'avalue-b'],
    ['$$SET $$', '$SET $'],
    ['${NESTED}', '$SET'],
    ['$UNSET|${UNSET}', '|'],
    ['${SET:-d}', 'value'],
    ['${UNSET:-d}', 'd'],
    ['${EMPTY:-d}', 'd'],
    ['${EMPTY-d}', ''],
    ['${UNSET-d}', 'd'],
    ['${UNSET:-${SET}}', 'value'],
    ['${UNSET:-a ${UNSET:-b} c}', 'a b c'],
    ['${UNSET:-$$x}', '$x'],
    ['${SET:+other}', 'other'],
    ['${EMPTY:+other}', ''],
    ['${EMPTY+other}', 'other'],
    ['${UNSET+other}', ''],
    ['${SET:?why}', 'value'],
    ['${EMPTY?why}', ''],
    ['${SET:-${UNSET:?never needed}}', 'value'],
    ['no dollar', 'no dollar'],
  ])('%s is %j', (text, expected) => {
    expect(interpolate(text, variables)).toBe(expected)
  })

  test.each([
    ['${UNSET:?is needed}', 'the variable UNSET must be set: is needed'],
    ['${EMPTY:?}', 'the variable EMPTY must be set'],
    ['${UNSET?}', 'the variable UNSET must be set'],
    ['${', 'no valid use'],
    ['${SET', 'no valid use'],
    ['${SET!x}', 'no valid use'],
    ['${1}', 'no valid use'],
    ['$', 'no valid use'],
    ['$ x', 'no valid use'],
    ['${A:-'.repeat(200), 'nest deeper'],
  ])('%s is refused', (text, message) => {
    expect(() => interpolate(text, variables)).toThrow(message)
  })

  test('names without a value are told, but not where something says what then', () => {
    const unset: string[] = []
    interpolate('$A ${B} ${C:-d} ${D+e} ${E:-$F} ${SET:-$G}', variables, (name) => unset.push(name))
    expect(unset).toEqual(['A', 'B', 'F'])
  })
})

describe('env files', () => {
  test('of all forms', () => {
    const text = `# comment
A=1
export B = two words # comment
C="quoted # no comment\\n$SET"
D='as it is $SET \\n'
E=\${SET:-x}
F: yaml
G=
SET

H="several
lines"
I=a#b
J=$A
`
    expect(Object.fromEntries(parseEnvFile(text, '.env', variables))).toEqual({
      A: '1',
      B: 'two words',
      C: 'quoted # no comment\nvalue',
      D: 'as it is $SET \\n',
      E: 'value',
      F: 'yaml',
      G: '',
      SET: 'value',
      H: 'several\nlines',
      I: 'a#b',
      J: '1',
    })
  })

  test.each([
    ['A=1\nB="x', 2, 'a quote is not closed'],
    ['A B', 1, 'white space'],
    ['=x', 1, 'is not NAME=value'],
    ['A=${UNSET:?must}', 1, 'must be set'],
    ["A='x' y", 1, 'behind the quotes'],
  ])('%j is refused with its line', (text, line, message) => {
    const read = () => parseEnvFile(text, '.env', variables)
    expect(read).toThrow(message)
    expect(read).toThrow(expect.objectContaining({ span: expect.objectContaining({ line }) as unknown }))
  })
})

test.each([
  ['a b  c', ['a', 'b', 'c']],
  [`sh -c "echo \\"x y\\" 'z'"`, ['sh', '-c', `echo "x y" 'z'`]],
  [`'' a\\ b "c"d`, ['', 'a b', 'cd']],
  ['"a\\nb"', ['a\\nb']],
  ['', []],
])('the words of %j', (text, words) => {
  expect(splitWords(text)).toEqual(words)
})

let root: string
let warnings: string[]
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stave-compose-'))
  warnings = []
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function load(files: Readonly<Record<string, string>>, options: Partial<LoadOptions> = {}): Loaded {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return loadProject({
    cwd: root,
    env: { HOME: '/home/me' },
    files: [],
    profiles: [],
    envFiles: [],
    warn: (text) => warnings.push(text),
    ...options,
  })
}

const web = (more: string): Readonly<Record<string, string>> => ({
  'compose.yaml': `services:\n  web:\n    image: i\n${more.replace(/^/gm, '    ')}\n`,
})

describe('a service', () => {
  test.each<[string, unknown]>([
    ['command: a "b c"', { command: ['a', 'b c'] }],
    ['command: [a, 1, true]', { command: ['a', '1', 'true'] }],
    ['command: null', { command: null }],
    ['environment: [A=1, "B=x=y", HOME, C=]', { environment: { A: '1', B: 'x=y', HOME: '/home/me', C: '' } }],
    ['environment: {A: 1, B: true, C: , D: 1.5}', { environment: { A: '1', B: 'true', C: null, D: '1.5' } }],
    [
      'ports: ["80", "8080:80", "127.0.0.1:81:80/udp", "[::1]:82:80"]',
      {
        ports: [
          { target: '80', protocol: 'tcp' },
          { target: '80', published: '8080', protocol: 'tcp' },
          { target: '80', published: '81', host_ip: '127.0.0.1', protocol: 'udp' },
          { target: '80', published: '82', host_ip: '::1', protocol: 'tcp' },
        ],
      },
    ],
    [
      'ports: ["8000-8001:80-81"]',
      {
        ports: [
          { target: '80', published: '8000', protocol: 'tcp' },
          { target: '81', published: '8001', protocol: 'tcp' },
        ],
      },
    ],
    ['ports: [{target: 80, published: 8080}]', { ports: [{ target: '80', published: '8080', protocol: 'tcp' }] }],
    [
      'volumes: [./a:/a:ro, "~/b:/b", n:/n, /anon]\n',
      {
        volumes: [
          { type: 'bind', source: expect.stringMatching(/\/a$/), target: '/a', read_only: true, bind: { create_host_path: true } },
          { type: 'bind', source: '/home/me/b', target: '/b', bind: { create_host_path: true } },
          { type: 'volume', source: 'n', target: '/n' },
          { type: 'volume', target: '/anon' },
        ],
      },
    ],
    [
      'volumes: [{type: tmpfs, target: /t, tmpfs: {size: 10m, mode: 0750}}]',
      { volumes: [{ type: 'tmpfs', target: '/t', tmpfs: { size: '10m', mode: 0o750 } }] },
    ],
    ['depends_on: [db]', { depends_on: { db: { condition: 'service_started' } } }],
    ['healthcheck: {test: curl x, interval: 1m30s}', { healthcheck: { test: ['CMD-SHELL', 'curl x'], interval: '1m30s' } }],
    ['healthcheck: {test: [CMD, a, b], retries: "5"}', { healthcheck: { test: ['CMD', 'a', 'b'], retries: 5 } }],
    ['build: ./dir', { build: { context: expect.stringMatching(/\/dir$/) } }],
    ['build: {context: https://h/x.git, args: {A: }}', { build: { context: 'https://h/x.git', args: { A: null } } }],
    ['networks: {a: {aliases: [x]}, b: }', { networks: { a: { aliases: ['x'] }, b: null } }],
    ['ulimits: {nproc: 5, nofile: {soft: 1, hard: 2}}', { ulimits: { nproc: { soft: 5, hard: 5 }, nofile: { soft: 1, hard: 2 } } }],
    ['extra_hosts: {a: 1.2.3.4}', { extra_hosts: ['a:1.2.3.4'] }],
    ['extra_hosts: ["a=1.2.3.4"]', { extra_hosts: ['a:1.2.3.4'] }],
    ['x-own: {any: thing}', {}],
    ['restart: no', { restart: 'no' }],
    ['privileged: "${P:-true}"', { privileged: true }],
  ])('%s', (text, expected) => {
    const files = web(text)
    const more = '\n  db: {image: d}\nnetworks: {a: , b: }\nvolumes: {n: }\n'
    const { project } = load({ 'compose.yaml': files['compose.yaml'] + more })
    expect(project.services['web']).toMatchObject(expected as object)
  })

  test.each<[string, string, number]>([
    ['imagee: x', 'services.web.imagee: there is no such field', 4],
    ['ports: [a]', 'is no port', 4],
    ['ports:\n  - "80"\n  - "90:"', 'is no port', 6],
    ['environment: [=x]', 'it is not K=V', 4],
    ['privileged: perhaps', 'neither true nor false', 4],
    ['mem_limit: lots', 'lots', 4],
    ['healthcheck: {interval: soon}', 'no duration', 4],
    ['depends_on: {db: {condition: ready}}', 'is not understood', 4],
    ['volumes: [a:b:c:d]', 'is no volume', 4],
    ['command: "\'a"', 'a quote is not closed', 4],
    ['image: ${X:?}', 'X must be set', 4],
    ['image: $', 'no valid use', 4],
    ['command: {a: b}', 'not a list', 4],
  ])('%j is refused with its line', (text, message, line) => {
    const read = (): Loaded => load({ 'compose.yaml': `services:\n  web:\n    build: .\n${text.replace(/^/gm, '    ')}\n` })
    expect(read).toThrow(message)
    expect(read).toThrow(expect.objectContaining({ span: expect.objectContaining({ line }) as unknown }))
  })
})

describe('a project', () => {
  test('is named by the word, the environment, the file, or its directory', () => {
    const files = { 'My Dir.x/compose.yaml': 'services: {a: {image: i}}' }
    const at = { cwd: '' }
    load(files, { files: ['My Dir.x/compose.yaml'] })
    expect(load(files, { files: ['My Dir.x/compose.yaml'] }).project.name).toBe('mydirx')
    expect(load({ 'n/compose.yaml': 'name: own\nservices: {a: {image: i}}' }, { files: ['n/compose.yaml'] }).project.name).toBe('own')
    expect(load({}, { files: ['n/compose.yaml'], env: { COMPOSE_PROJECT_NAME: 'env' } }).project.name).toBe('env')
    expect(load({}, { files: ['n/compose.yaml'], name: 'word', env: { COMPOSE_PROJECT_NAME: 'env' } }).project.name).toBe('word')
    expect(() => load({}, { files: ['n/compose.yaml'], name: '../x' })).toThrow('cannot be named')
    expect(at.cwd).toBe('')
  })

  test('is looked for upwards, with its override; .env is beside it, and the environment counts before it', () => {
    const loaded = load(
      {
        'compose.yaml': 'services: {a: {image: "$I:$T", environment: {X: 1, Y: 1}, ports: ["80"]}}',
        'compose.override.yaml': 'services: {a: {environment: {Y: 2}, ports: ["80", "81"]}}',
        '.env': 'I=image\nT=1',
        'deep/er/x': '',
      },
      { cwd: join(root, 'deep/er'), env: { T: '2' } },
    )
    expect(loaded.files).toEqual([join(root, 'compose.yaml'), join(root, 'compose.override.yaml')])
    expect(loaded.project.services['a']).toMatchObject({
      image: 'image:2',
      environment: { X: '1', Y: '2' },
      ports: [{ target: '80' }, { target: '81' }],
    })
  })

  test('of several files: maps are merged, lists put together, commands replaced, !reset and !override obeyed', () => {
    const { project } = load(
      {
        'a.yaml': `services: {a: {image: i, command: [a, b], dns: [1.1.1.1], expose: ["1"], environment: {A: 1}, labels: [x=1], volumes: [./x:/v]}}`,
        'b.yaml': `services:
  a:
    command: [c]
    dns: !override [2.2.2.2]
    expose: !reset []
    environment: {A: !reset null, B: 2}
    labels: {y: 2}
    volumes: [./y:/v]
`,
      },
      { files: ['a.yaml', 'b.yaml'] },
    )
    expect(project.services['a']).toEqual({
      image: 'i',
      command: ['c'],
      dns: ['2.2.2.2'],
      environment: { B: '2' },
      labels: { x: '1', y: '2' },
      volumes: [{ type: 'bind', source: join(root, 'y'), target: '/v', bind: { create_host_path: true } }],
      networks: { default: null },
    })
  })

  test('extends services of its own and of other files, whose paths count from there', () => {
    const { project } = load({
      'compose.yaml': 'services: {a: {extends: b, environment: {A: 2}}, b: {extends: {service: base, file: sub/base.yaml}}}',
      'sub/base.yaml': 'services: {base: {image: i, environment: {A: 1, B: 1}, env_file: e, volumes: [./d:/d]}}',
      'sub/e': 'E=file\nA=file',
    })
    expect(project.services['a']).toMatchObject({
      image: 'i',
      environment: { A: '2', B: '1', E: 'file' },
      volumes: [{ source: join(root, 'sub/d') }],
    })
  })

  test('includes others, with their own directory and variables', () => {
    const { project } = load({
      'compose.yaml': 'include: [sub/compose.yaml]\nservices: {a: {image: i, depends_on: [b]}}',
      'sub/compose.yaml': 'services: {b: {image: "$V", build: ./x}}\nvolumes: {v: }',
      'sub/.env': 'V=there',
    })
    expect(project.services['b']).toMatchObject({ image: 'there', build: { context: join(root, 'sub/x') } })
    expect(project.volumes['v']).toEqual({ name: `${project.name}_v` })
  })

  test('has the services of active profiles, and those that are asked for with what they need', () => {
    const files = {
      'compose.yaml': 'services: {a: {image: i}, b: {image: i, profiles: [p]}, c: {image: i, profiles: [q], depends_on: [b]}}',
    }
    const names = (options: Partial<LoadOptions>) => Object.keys(load(files, options).project.services).toSorted()
    expect(names({})).toEqual(['a'])
    expect(names({ profiles: ['p'] })).toEqual(['a', 'b'])
    expect(names({ profiles: ['*'] })).toEqual(['a', 'b', 'c'])
    expect(names({ env: { COMPOSE_PROFILES: 'p,x' } })).toEqual(['a', 'b'])
    expect(names({ services: ['c'] })).toEqual(['a', 'b', 'c'])
  })

  test('starts in waves', () => {
    const { project } = load({
      'compose.yaml': `services:
  web: {image: i, depends_on: [db, cache]}
  db: {image: i}
  cache: {image: i, network_mode: "service:db"}
  other: {image: i}
`,
    })
    expect(waves(project.services)).toEqual([['db', 'other'], ['cache'], ['web']])
  })

  test('networks and volumes have names, external ones their own', () => {
    const { project } = load({
      'compose.yaml':
        'name: p\nservices: {a: {image: i}}\nnetworks: {n: {external: true}, m: {name: own}}\nvolumes: {v: {external: {name: old}}}',
    })
    expect(project.networks).toMatchObject({ default: { name: 'p_default' }, n: { name: 'n', external: true }, m: { name: 'own' } })
    expect(project.volumes).toEqual({ v: { external: true, name: 'old' } })
  })

  test('a variable that is not set is told once', () => {
    load({ 'compose.yaml': 'services: {a: {image: "i$X$X"}, b: {image: "$X$Y"}}' })
    expect(warnings).toEqual(['the variable X is not set: it is taken as empty', 'the variable Y is not set: it is taken as empty'])
  })
})

describe('bad projects', () => {
  test.each<[string, string]>([
    ['services: {a: {image: i, depends_on: [b]}, b: {image: i, depends_on: [a]}}', 'in a circle'],
    ['services: {a: {image: i, depends_on: [nobody]}}', 'needs the service nobody'],
    ['services: {a: {extends: b}, b: {extends: a}}', 'in a circle'],
    ['services: {a: {extends: nobody}}', 'there is no service nobody'],
    ['services: {a: {}}', 'neither an image nor a build'],
    ['services: {a: {image: i, networks: [n]}}', 'uses the network n'],
    ['services: {a: {image: i, volumes: ["v:/v"]}}', 'uses the volume v'],
    ['services: {a: {image: i, secrets: [s]}}', 'uses the secret s'],
    ['services: {../a: {image: i}}', 'the name of a service'],
    ['services: {a: {image: i, network_mode: host, networks: [default]}}', 'of which there can be one'],
    ['services: {a: {image: i, container_name: x, scale: 2}}', 'more than one container'],
    ['services: [a]', 'it is not a map'],
    ['a: &a [*a]', 'to itself'],
    ['services: {a: {image: i', 'cannot read'],
    ['a: 1\n---\nb: 2', 'several documents'],
    ['include: [compose.yaml]\nservices: {}', 'includes itself'],
    ['include: [nowhere.yaml]\nservices: {}', 'cannot read'],
    ['? [a]\n: b', 'a key is not a text'],
  ])('%s', (text, message) => {
    expect(() => load({ 'compose.yaml': text })).toThrow(message)
  })

  test('aliases that stand for ever more', () => {
    const lines = [
      'a0: &a0 [x,x,x,x,x,x,x,x,x,x]',
      ...Array.from({ length: 9 }, (_, at) => `a${at + 1}: &a${at + 1} [${`*a${at},`.repeat(10)}]`),
    ]
    expect(() => load({ 'compose.yaml': lines.join('\n') })).toThrow(expect.objectContaining({ code: 'too-large' }))
  })

  test('thousands of services are read, each of which needs the one before', () => {
    const services = Array.from({ length: 2000 }, (_, at) => `  s${at}: {image: i${at > 0 ? `, depends_on: [s${at - 1}]` : ''}}`)
    expect(Object.keys(load({ 'compose.yaml': `services:\n${services.join('\n')}` }).project.services)).toHaveLength(2000)
  })

  test('a name that objects have of their own is one like others', () => {
    const { project } = load({ 'compose.yaml': 'services: {a: {image: i, labels: {constructor: x}, environment: {__proto__: y}}}' })
    expect(Object.entries(project.services['a']?.environment ?? {})).toEqual([['__proto__', 'y']])
  })

  test.each([
    ['compose.yaml', 'services: {a: {image: i, env_file: /dev/zero}}'],
    ['compose.yaml', 'include: [/dev/zero]'],
    ['compose.yaml', 'services: {a: {extends: {file: /dev/zero, service: a}}}'],
    ['.env', ''],
  ])('a %s that leads to what has no end: %s', (name, text) => {
    if (text === '') symlinkSync('/dev/zero', join(root, name))
    expect(() => load({ 'compose.yaml': text === '' ? 'services: {a: {image: i}}' : text })).toThrow('it is not a regular file')
  })

  test('there is none', () => {
    expect(() => load({})).toThrow(StaveError)
    expect(() => load({})).toThrow('cannot find a compose file')
  })
})
