/** Artifacts in each registry, and beside oras: each reads what the other has written. */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary } from '../integration-tests/stave.ts'
import { candidates, has, type Running, temporary } from './registries.ts'

const chosen = candidates(process.env.STAVE_TEST_REGISTRIES).filter(({ name }) => !/with/.test(name))

for (const candidate of chosen) {
  if (candidate.skip !== undefined) {
    test.skip(`artifacts in ${candidate.name}: skipped, because ${candidate.skip}`, () => {})
    continue
  }

  describe(`artifacts in ${candidate.name}`, () => {
    let running: Running
    let directory: string
    const at = (...parts: string[]) => path.join(directory, ...parts)
    const place = (name: string) => `docker://${running.host}/artifacts/${name}`

    async function run(program: string, args: readonly string[], cwd = directory): Promise<string> {
      const env = { PATH: process.env['PATH'], HOME: directory, STAVE_ROOT: at('store') }
      return (await promisify(execFile)(program, args, { env, cwd })).stdout.trim()
    }
    const stave = (...args: readonly string[]) => run(binary, args)
    const fails = (...args: readonly string[]) =>
      stave(...args).then(
        () => undefined,
        (error: unknown) => (error as { stderr: string }).stderr,
      )

    beforeAll(async () => {
      running = await candidate.start()
      directory = await temporary()
      mkdirSync(at('site/deep'), { recursive: true })
      writeFileSync(at('site/index.html'), '<p>')
      writeFileSync(at('site/deep/page.html'), '<p><p>')
      writeFileSync(at('note.txt'), 'a note\n')
      writeFileSync(at('config.json'), '{"a": 1}')
    })
    afterAll(async () => {
      await running[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    })

    test('files chosen by name and pattern, and a directory, come back as they were', async () => {
      const type = ['--artifact-type', 'application/vnd.example.site']
      const digest = await stave('artifact', 'push', place('site:1'), ...type, 'note.txt:text/plain', 'site/**/*.html')
      expect(await stave('artifact', 'pull', place('site:1'), '-o', 'pulled')).toBe(
        ['note.txt', 'site/deep/page.html', 'site/index.html'].map((file) => at('pulled', file)).join('\n'),
      )
      expect(readFileSync(at('pulled/site/deep/page.html'), 'utf8')).toBe('<p><p>')
      expect(await stave('image', 'digest', place('site:1'))).toBe(digest)
      const manifest = JSON.parse(await stave('manifest', 'get', place('site:1'))) as {
        artifactType: string
        layers: { mediaType: string }[]
      }
      expect(manifest).toMatchObject({ artifactType: 'application/vnd.example.site' })
      expect(manifest.layers[0]!.mediaType).toBe('text/plain')

      await stave('artifact', 'push', place('directory:1'), '--config', 'config.json:application/json', 'site')
      await stave('artifact', 'pull', place('directory:1'), '-o', 'again', '--config', 'again.json')
      expect(readFileSync(at('again/site/index.html'), 'utf8')).toBe('<p>')
      expect(readFileSync(at('again.json'), 'utf8')).toBe('{"a": 1}')
      expect(await fails('artifact', 'pull', place('directory:1'), '-o', 'again', '-k')).toContain('there already')
      expect(await fails('artifact', 'push', place('site:2'), '../outside')).toContain('below the working directory')
      expect(await fails('artifact', 'push', place('site:2'), '*.nothing')).toContain('*.nothing')
      expect(await fails('artifact', 'push', place('site:2'), 'note.txt', './note.txt')).toContain('twice')
    })

    test('what is attached is found, and what is attached to that', async () => {
      const subject = await stave('artifact', 'push', place('subject:1'), 'note.txt')
      const kinds = ['application/a', 'application/b', 'application/c']
      const attached: string[] = []
      for (const kind of kinds)
        attached.push(await stave('artifact', 'attach', place('subject:1'), '--artifact-type', kind, 'config.json:application/json'))
      await stave(
        'artifact',
        'attach',
        `docker://${running.host}/artifacts/subject@${attached[0]!}`,
        '--artifact-type',
        'application/of-a',
        'note.txt',
      )
      const tree = await stave('artifact', 'discover', place('subject:1'))
      expect(tree).toContain(`artifacts/subject@${subject}`)
      for (const [index, kind] of kinds.entries()) expect(tree).toMatch(new RegExp(`── ${kind}\\n.*── ${attached[index]!}`))
      expect(tree).toMatch(/application\/a\n.*\n.*── application\/of-a\n/)
      const found = JSON.parse(await stave('artifact', 'ls', '--json', '--artifact-type', 'application/b', place('subject:1'))) as {
        referrers: object[]
      }
      expect(found.referrers).toMatchObject([{ digest: attached[1], artifactType: 'application/b' }])
      await stave('copy', '--referrers', place('subject:1'), 'oci:backup:1')
      expect(await stave('artifact', 'tree', 'oci:backup:1')).toContain('application/of-a')
      expect(await fails('artifact', 'attach', place('subject:1'), 'note.txt')).toContain('--artifact-type')
      expect(await fails('artifact', 'attach', place('nothing:1'), '--artifact-type', 'a/b', 'note.txt')).toContain('nothing')
    })

    test.skipIf(!has('oras'))('oras reads what was written here, and writes what is read here', async () => {
      const ref = (name: string) => `${running.host}/artifacts/${name}`
      const oras = (...args: readonly string[]) => run('oras', [args[0]!, '--plain-http', ...args.slice(1)])
      await stave('artifact', 'push', place('ours:1'), '--artifact-type', 'application/x', 'note.txt:text/plain', 'site')
      await oras('pull', ref('ours:1'), '-o', 'by-oras')
      for (const file of ['note.txt', 'site/index.html', 'site/deep/page.html'])
        expect(readFileSync(at('by-oras', file), 'utf8')).toBe(readFileSync(at(file), 'utf8'))
      await oras('push', ref('theirs:1'), '--artifact-type', 'application/x', 'note.txt:text/plain', 'site')
      await stave('artifact', 'pull', place('theirs:1'), '-o', 'by-stave')
      for (const file of ['note.txt', 'site/index.html', 'site/deep/page.html'])
        expect(readFileSync(at('by-stave', file), 'utf8')).toBe(readFileSync(at(file), 'utf8'))
      await stave('artifact', 'attach', place('theirs:1'), '--artifact-type', 'application/ours', 'note.txt')
      await oras('attach', ref('theirs:1'), '--artifact-type', 'application/theirs', 'note.txt')
      await stave('artifact', 'attach', place('theirs:1'), '--artifact-type', 'application/ours-too', 'note.txt')
      const [theirs, ours] = [await oras('discover', ref('theirs:1')), await stave('artifact', 'discover', place('theirs:1'))]
      for (const kind of ['application/ours', 'application/theirs', 'application/ours-too']) {
        expect(theirs).toContain(kind)
        expect(ours).toContain(kind)
      }
      rmSync(at('by-oras'), { recursive: true })
    })
  })
}
