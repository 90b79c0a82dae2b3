import { resolve } from 'node:path'
import { makeDirectories } from '#directory.ts'
import { withFileErrors } from '#image/file.ts'
import { layout, pathOf } from '#store/layout.ts'
import { parseHtpasswd } from '#registry/server/htpasswd.ts'
import { serve } from '#registry/server/server.ts'
import type { Invocation } from '../command.ts'
import type { serveFlags } from './commands.ts'
import { readSmallFile } from '../key-values.ts'

/** Runs the embedded registry until it is told to stop. */
export async function run({ cx, flags, settings, report }: Invocation<typeof serveFlags>): Promise<void> {
  const directory = flags.directory === undefined ? pathOf(settings, layout.registry) : resolve(settings.cwd, flags.directory)
  await withFileErrors(`serve a registry from ${directory}`, async () => makeDirectories(directory, 0o700))
  const pem = (file: string) => readSmallFile(file, settings, 1 << 20)
  const tls =
    flags['tls-cert'] === undefined ? {} : { tls: { certificate: pem(flags['tls-cert']), key: pem(flags['tls-key'] ?? flags['tls-cert']) } }
  const server = await serve({
    directory,
    host: flags.host ?? '127.0.0.1',
    port: flags.port ?? 5000,
    readOnly: flags['read-only'] ?? false,
    allowedHosts: flags['allowed-host'] ?? [],
    ...(flags.htpasswd !== undefined && {
      auth: { kind: 'basic' as const, users: parseHtpasswd(readSmallFile(flags.htpasswd, settings, 1 << 20)) },
    }),
    ...tls,
  })
  report.print(server.url)
  if (!flags.quiet) report.note(`serving ${directory}; Ctrl-C stops`)
  await new Promise<void>((done) => {
    if (cx.signal.aborted) done()
    cx.signal.addEventListener('abort', () => done(), { once: true })
  })
  await server.close()
}
