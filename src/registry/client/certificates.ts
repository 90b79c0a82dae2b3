import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { StaveError } from '#error.ts'

/** What certs.d holds for one host, in PEM. */
export interface Certificates {
  readonly authorities: readonly string[]
  readonly client?: { readonly certificate: string; readonly key: string }
}

/**
 * Reads the certificates for a host from the first of `directories` that has a directory of its name: `*.crt` are
 * authorities, `X.cert` with `X.key` is a client's pair.
 *
 * @throws StaveError `tls` when a file cannot be read, or half of a pair is missing
 * @see containers-certs.d(5)
 */
export async function readCertificates(directories: readonly string[], host: string): Promise<Certificates> {
  for (const parent of directories) {
    const found = await readCertificateDirectory(path.join(parent, host))
    if (found !== undefined) return found
  }
  return { authorities: [] }
}

/** Undefined when there is no such directory. @throws StaveError `tls` */
export async function readCertificateDirectory(directory: string): Promise<Certificates | undefined> {
  let names: string[]
  try {
    names = (await readdir(directory)).sort()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new StaveError('tls', `cannot read certificates in ${directory}`, { cause: error })
  }
  const read = (name: string) =>
    readFile(path.join(directory, name), 'utf8').catch((cause: unknown) => {
      throw new StaveError('tls', `cannot read certificate ${path.join(directory, name)}`, { cause })
    })
  const authorities = await Promise.all(names.filter((name) => name.endsWith('.crt')).map(read))
  const certificate = names.find((name) => name.endsWith('.cert'))
  if (certificate === undefined) return { authorities }
  const key = certificate.replace(/\.cert$/, '.key')
  if (!names.includes(key)) {
    throw new StaveError('tls', `cannot use client certificate ${path.join(directory, certificate)}: ${key} is missing beside it`, {
      hint: 'Authorities are named *.crt, client certificates *.cert with a *.key.',
    })
  }
  return { authorities, client: { certificate: await read(certificate), key: await read(key) } }
}
