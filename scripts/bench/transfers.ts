import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { has, type Machine } from './machine.ts'
import { stave, type Case } from './workloads.ts'

const smallCount = 50

/** What only moves: an image of 512 MB that cannot be compressed, and fifty of a few kilobytes. */
export function makeTransferInputs(machine: Machine, source: string): void {
  pushRandom(machine, `${source}/random`, 8, 64 * 1024 * 1024)
  for (let index = 0; index < smallCount; index++) pushRandom(machine, `${source}/small/${index}`, 3, 10 * 1024)
  const images = Array.from({ length: smallCount }, (_, index) => `    small/${index}: [latest]`)
  writeFileSync(machine.path('sync.yml'), [`${source}:`, '  tls-verify: false', '  images:', ...images, ''].join('\n'))
}

function pushRandom(machine: Machine, name: string, count: number, bytes: number): void {
  const layout = machine.path('random-layout')
  const blobs = join(layout, 'blobs/sha256')
  mkdirSync(blobs, { recursive: true })
  const put = (raw: Uint8Array, mediaType: string) => {
    const hex = createHash('sha256').update(raw).digest('hex')
    writeFileSync(join(blobs, hex), raw)
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest: `sha256:${hex}`, size: raw.length }
  }
  const layers = Array.from({ length: count }, () => put(randomBytes(bytes), 'layer.v1.tar'))
  const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) }
  const config = put(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs })), 'config.v1+json')
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = put(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers })), 'manifest.v1+json')
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  machine.must(['skopeo', 'copy', '-q', '--dest-tls-verify=false', `oci:${layout}`, `docker://${name}:latest`])
  rmSync(layout, { recursive: true })
}

interface Mover {
  readonly tool: string
  readonly copy: (from: string, to: string) => readonly string[]
  /** To a layout in an empty directory. */
  readonly save: ((from: string, directory: string) => readonly string[]) | undefined
  /** All that `sync.yml` names; without it, they are copied one after the other. */
  readonly sync: ((list: string, to: string) => readonly string[]) | undefined
}

const movers: readonly Mover[] = [
  {
    tool: 'stave',
    copy: (from, to) => [stave, 'copy', '-q', `docker://${from}`, `docker://${to}`],
    save: (from, directory) => [stave, 'copy', '-q', `docker://${from}`, `oci:${directory}:latest`],
    sync: (list, to) => [stave, 'sync', '--src', 'yaml', '--dest', 'docker', list, to],
  },
  {
    tool: 'skopeo',
    copy: (from, to) => ['skopeo', 'copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false', `docker://${from}`, `docker://${to}`],
    save: (from, directory) => ['skopeo', 'copy', '-q', '--src-tls-verify=false', `docker://${from}`, `oci:${directory}:latest`],
    sync: (list, to) => ['skopeo', 'sync', '--src', 'yaml', '--dest', 'docker', '--dest-tls-verify=false', list, to],
  },
  {
    tool: 'crane',
    copy: (from, to) => ['crane', 'copy', '--insecure', from, to],
    save: (from, directory) => ['crane', 'pull', '--insecure', '--format=oci', from, directory],
    sync: undefined,
  },
  {
    tool: 'regctl',
    copy: (from, to) => [
      'regctl',
      ...[from, to].flatMap((name) => ['--host', `reg=${name.split('/')[0]},tls=disabled`]),
      'image',
      'copy',
      from,
      to,
    ],
    save: undefined,
    sync: undefined,
  },
]

/** What goes from one registry to another, or to disk, with every tool that is installed. */
export function transfers(machine: Machine, source: string, target: string): ReadonlyMap<string, readonly Case[]> {
  const present = movers.filter(({ tool }) => tool === 'stave' || has(tool))
  const emptied = () => rmSync(machine.path('target/docker'), { recursive: true, force: true })
  const [from, to] = [`${source}/random`, `${target}/random`]
  const saved = machine.path('saved')
  const each = Array.from({ length: smallCount }, (_, index) => `small/${index}`)
  return new Map<string, readonly Case[]>([
    ['transfer', present.map(({ tool, copy }) => ({ tool, prepare: emptied, command: copy(from, to) }))],
    ['nothing', present.map(({ tool, copy }) => ({ tool, first: () => machine.must(copy(from, to)), command: copy(from, to) }))],
    [
      'layout',
      present.flatMap(({ tool, save }) =>
        save === undefined ? [] : [{ tool, prepare: () => rmSync(saved, { recursive: true, force: true }), command: save(from, saved) }],
      ),
    ],
    [
      'fifty',
      present.map(({ tool, copy, sync }) => ({
        tool,
        prepare: emptied,
        command: sync?.(machine.path('sync.yml'), target) ?? [
          'sh',
          '-ec',
          each.map((name) => copy(`${source}/${name}`, `${target}/${name}`).join(' ')).join('\n'),
        ],
      })),
    ],
  ])
}
