import { splitWords } from '#compose/words.ts'
import { loadProject } from '#compose/load.ts'
import { parseEnvFile } from '#compose/env-file.ts'
import { createWords } from '../../src/cli/compose/words.ts'
import { mutated } from '../random.ts'
import { documentWords, ours, type Target } from '../target.ts'

const seeds = [
  `name: p
services:
  web: &web
    image: "i:\${TAG:-1}"
    command: sh -c "echo $$x"
    ports: ["127.0.0.1:8080-8081:80-81/udp", {target: 80, published: "1"}]
    volumes: [./a:/a:ro, data:/d, {type: tmpfs, target: /t, tmpfs: {mode: 0750}}]
    environment: [A=1, B]
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {test: [CMD, x], interval: 1m}
    ulimits: {nofile: {soft: 1, hard: 2}}
  db: {extends: web, depends_on: !reset {}, deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 5m}}}}
volumes: {data: }
configs: {c: {content: x}}
`,
  'a: &a [x,x]\nb: &b [*a,*a,*a,*a]\nservices: {x: {<<: *b, image: i}}\n',
  'A=1\nexport B="x $A\\n"\nC=\'y\' # z\n${D:?e}\n',
]

/** A compose file, and any YAML in its place; an env file; and what a service comes to as words of create. */
export const composes: Target = {
  name: 'compose',
  next(random) {
    const words = [
      'services:',
      'image',
      '- ',
      '<<: ',
      '&a ',
      '*a ',
      '!reset ',
      '!override ',
      '${A:-',
      '${A:?',
      '$$',
      '8080:80',
      ':ro',
      '---\n',
      '  ',
    ]
    const input = mutated(random, seeds, [...documentWords, ...words])
    const options = {
      cwd: '/',
      env: {},
      files: ['-'],
      stdin: input,
      directory: '/nowhere',
      name: 'p',
      profiles: ['*'],
      envFiles: ['/dev/null'],
    }
    return {
      input,
      work() {
        ours(() => void parseEnvFile(input, '.env', () => undefined))
        ours(() => void splitWords(input))
        ours(() => {
          const { project } = loadProject({ ...options, warn: () => undefined })
          for (const [name, service] of Object.entries(project.services)) {
            const { flags } = createWords({
              project,
              name,
              service,
              container: name,
              image: 'i',
              labels: {},
              fileOf: () => '/f',
              containerOf: (other) => other,
            })
            // A value may not become a flag of its own.
            const values = new Set(['--name', '--label', '--env', '--publish', '--volume', '--mount', '--volumes-from'])
            for (let at = 0; at < flags.length; at++) {
              if (values.has(flags[at] as string)) at++
              else if (!flags[at]?.startsWith('--')) throw new Error(`${JSON.stringify(flags[at])} stands alone`)
            }
          }
        })
      },
    }
  },
}
