import { parseHosts } from '#registry/client/hosts.ts'
import { lookUp, readAuthFile } from '#registry/login/credential-file.ts'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mutated } from '../random.ts'
import { documentWords, ours, oursLater, type Target } from '../target.ts'

const toml = [
  'unqualified-search-registries = ["docker.io"]\n[[registry]]\nprefix = "*.example"\nlocation = "a.example"\ninsecure = true\nblocked = false\n[[registry.mirror]]\nlocation = "m.example/x"\npull-from-mirror = "digest-only"\n',
  '[registries.search]\nregistries = ["a"]\n[aliases]\n"x" = "y/z"\n',
]
const json = [
  '{"auths":{"https://index.docker.io/v1/":{"auth":"aHVudGVyMjpodW50ZXIy"},"r.example/a":{"identitytoken":"hunter2"}},"credHelpers":{"g.example":"gcloud"},"credsStore":"pass"}',
]

/** A configuration is read or refused. An error never shows what a credential file holds. */
export const configuration: Target = {
  name: 'configuration',
  next(random) {
    const hosts = mutated(random, toml, documentWords)
    const auth = mutated(random, json, documentWords)
    return { input: JSON.stringify([hosts, auth]), work: () => check(hosts, auth) }
  },
}

async function check(hosts: string, auth: string): Promise<void> {
  ours(() => {
    const parsed = parseHosts([{ file: 'registries.conf', text: hosts }])
    parsed.endpoints('a.example', 'b/c', 'latest')
  })
  const directory = mkdtempSync(join(tmpdir(), 'stave-fuzz-'))
  try {
    const file = join(directory, 'auth.json')
    writeFileSync(file, auth)
    await oursLater(async () => {
      try {
        const found = await readAuthFile(file, 'containers')
        if (found !== undefined) lookUp(found, 'r.example', 'a/b')
      } catch (error) {
        if (/hunter2|aHVudGVyMj/.test(`${String(error)} ${String((error as Error).cause)}`))
          throw new Error('it shows a secret', { cause: error })
        throw error
      }
    })
  } finally {
    rmSync(directory, { recursive: true })
  }
}
