import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { importImage } from '#builder/import.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { wantedPlatform } from './fetch.ts'
import { openSession } from '../session.ts'
import type { importFlags } from './commands.ts'

/** Makes an image with one layer of a tar, and prints its ID. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof importFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  const [file = '', name] = args
  if (/^https?:\/\//.test(file)) {
    throw new StaveError('unsupported', `cannot import ${file}: addresses are not fetched here`, {
      hint: `Fetch it first: curl -fL ${file} | stave import - ${name ?? ''}`.trim(),
    })
  }
  await using session = await openSession(settings)
  const path = file === '-' ? undefined : resolve(settings.cwd, file)
  await using handle = path === undefined ? undefined : await openTar(path)
  const image = await importImage(cx, {
    store: session.store,
    tar: handle === undefined ? process.stdin : handle.fd,
    title: file,
    platform: wantedPlatform(flags.platform, settings),
    changes: flags.change,
    ...(flags.message !== undefined && { comment: flags.message }),
    ...(name !== undefined && { name: formatReference(parseReference(name)) }),
    ...(settings.env['SOURCE_DATE_EPOCH'] && { epoch: Number(settings.env['SOURCE_DATE_EPOCH']) }),
  })
  await report.settle()
  report.print(image.manifest.config.digest)
}

async function openTar(path: string) {
  const handle = await open(path).catch((cause: NodeJS.ErrnoException) => {
    throw new StaveError(cause.code === 'EACCES' ? 'permission' : 'not-found', `cannot import ${path}`, { cause })
  })
  if (!(await handle.stat()).isDirectory()) return handle
  await handle.close()
  throw new StaveError('invalid-document', `cannot import ${path}: it is a directory, not an archive`, {
    hint: `Its files: tar -C ${path} -c . | stave import - NAME.`,
  })
}
