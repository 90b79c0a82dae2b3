import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { has, type Machine } from './machine.ts'
import { makeTree } from './tree.ts'

const root = join(import.meta.dirname, '../..')

/** A file of the large context that comes to be changed. */
export const oneFile = 'copy/tree/pkg00/lib00/changed.js'
/** How many stages, and how long each keeps one core busy. */
export const stageCount = 8
const stageWork = 'i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done; echo $i'

/** Makes base images, contexts and an image of 20,000 files, and pushes the images. */
export function makeInputs(machine: Machine, source: string): void {
  pushBases(machine, source)
  context(machine, 'small', [
    `FROM ${source}/busybox`,
    'ENV A=1',
    'WORKDIR /app',
    'COPY a.txt /app/',
    'RUN echo one $A > one',
    'ENV B=2',
    'COPY b.txt /app/',
    'RUN echo two > two',
    'WORKDIR /srv',
    'RUN echo three > three',
    'COPY c.txt .',
    'RUN mkdir -p x/y && echo four > x/y/four',
    'CMD ["true"]',
  ])
  for (const name of ['a', 'b', 'c']) writeFileSync(machine.path('small', `${name}.txt`), `file ${name}\n`)
  context(machine, 'copy', [`FROM ${source}/debian`, 'COPY tree /srv/tree', 'RUN cd /srv/tree/pkg00/lib00 && touch f0*'])
  makeTree(machine.path('copy/tree'))
  context(machine, 'steps', [`FROM ${source}/busybox`, ...Array.from({ length: 20 }, () => 'RUN true')])
  context(machine, 'one-stage', stages(source, 1))
  context(machine, 'stages', stages(source, stageCount))
  context(machine, 'apt', [
    `FROM ${source}/debian`,
    'RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl',
  ])
  pushBig(machine, source)
}

function context(machine: Machine, name: string, lines: readonly string[]): void {
  mkdirSync(machine.path(name))
  writeFileSync(machine.path(name, 'Dockerfile'), `${lines.join('\n')}\n`)
}

function stages(source: string, count: number): string[] {
  const names = Array.from({ length: count }, (_, index) => `s${index}`)
  return [
    ...names.flatMap((name) => [`FROM ${source}/busybox AS ${name}`, `RUN : ${name}; ${stageWork} > /${name}`]),
    `FROM ${source}/busybox`,
    ...names.map((name) => `COPY --from=${name} /${name} /`),
  ]
}

function pushBases(machine: Machine, source: string): void {
  const busybox = machine.path('busybox')
  mkdirSync(join(busybox, 'bin'), { recursive: true })
  for (const directory of ['dev', 'etc', 'proc', 'root', 'sys', 'tmp']) mkdirSync(join(busybox, directory))
  const tar = machine.path('busybox.tar')
  machine.must([
    'sh',
    '-c',
    `cp "$(command -v busybox)" ${busybox}/bin/busybox && for a in $(busybox --list); do [ $a = busybox ] || ln -sf busybox ${busybox}/bin/$a; done; tar -C ${busybox} -cf ${tar} .`,
  ])
  const debian = join(root, '.setup/debian.tar')
  if (!existsSync(debian)) machine.must(['sh', join(root, 'scripts/debian-root.sh'), debian])
  const copy = ['skopeo', 'copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false']
  machine.must([...copy, `tarball:${tar}`, `docker://${source}/busybox`])
  machine.must([...copy, `tarball:${debian}`, `docker://${source}/debian`])
}

/** What is pulled is made by a peer where there is one: then it favours nobody's own layers. */
function pushBig(machine: Machine, source: string): void {
  if (!has('buildah')) {
    machine.must([join(root, 'bin/stave'), 'build', '-t', `${source}/big`, '--push', machine.path('copy')])
    return
  }
  const buildah = ['buildah', '--root', machine.path('maker'), '--runroot', machine.path('run-maker')]
  const flags = ['--layers', '--isolation', 'chroot', '--network', 'host', '--tls-verify=false']
  machine.must([...buildah, 'bud', ...flags, '-t', 'big', machine.path('copy')])
  machine.must([...buildah, 'push', '-q', '--tls-verify=false', 'big', `docker://${source}/big:latest`])
}
