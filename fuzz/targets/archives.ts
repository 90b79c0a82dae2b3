import { openTar } from '#archive/tar-file.ts'
import { encodeHeader, paddedSize } from '#archive/tar.ts'
import { openArchive } from '#archive/open.ts'
import { background } from '#context.ts'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mutatedBytes } from '../random.ts'
import { documentWords, oursLater, type Target } from '../target.ts'

function tar(files: Readonly<Record<string, string>>): Uint8Array {
  const blocks = Object.entries(files).map(([name, text]) => {
    const bytes = Buffer.from(text)
    return Buffer.concat([encodeHeader(name, bytes.length), bytes, Buffer.alloc(paddedSize(bytes.length) - bytes.length)])
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

const digest = 'a'.repeat(64)
const seeds = [
  tar({
    'oci-layout': '{"imageLayoutVersion":"1.0.0"}',
    'index.json': `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:${digest}","size":2}]}`,
    [`blobs/sha256/${digest}`]: '{}',
  }),
  tar({
    'manifest.json': `[{"Config":"${digest}.json","RepoTags":["a:b"],"Layers":["l/layer.tar"]}]`,
    [`${digest}.json`]: '{"rootfs":{"type":"layers","diff_ids":[]}}',
    'l/layer.tar': 'x',
    repositories: '{}',
  }),
]
const words = [
  ...documentWords,
  'ustar\0',
  'manifest.json',
  'layer.tar',
  '77777777777\0',
  '\u0080',
  'x',
  'g',
  'L',
  '2',
  '1',
  'path=',
  '30 size=99999999999999\n',
]

/** An archive of anybody's is opened and listed, or refused; what is read of it is never more than there is. */
export const archives: Target = {
  name: 'archive',
  next(random) {
    const bytes = mutatedBytes(random, seeds, words)
    return { input: bytes.toString('latin1'), work: () => check(bytes) }
  },
}

async function check(bytes: Buffer): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'stave-fuzz-'))
  try {
    const file = join(directory, 'a.tar')
    writeFileSync(file, bytes)
    await oursLater(async () => {
      await using opened = await openTar(background, file, { temporary: directory, maxTemporaryBytes: 1 << 20 })
      for (const name of ['index.json', 'manifest.json', 'l/layer.tar']) {
        const entry = opened.find(name)
        if (entry === undefined) continue
        let size = 0
        await oursLater(async () => {
          for await (const chunk of opened.read(background, entry)) size += chunk.length
        })
        if (size > bytes.length) throw new Error(`${name} has ${size} bytes of ${bytes.length}`)
      }
    })
    await oursLater(async () => {
      await using source = await openArchive(background, file, { temporary: directory })
      await oursLater(() => source.resolve(background, ''))
    })
  } finally {
    rmSync(directory, { recursive: true })
  }
}
