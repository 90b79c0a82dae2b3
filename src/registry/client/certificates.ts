import { getCACertificates } from 'node:tls'
import { readdirSync, readFileSync } from 'node:fs'
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
export function readCertificates(directories: readonly string[], host: string): Certificates {
  for (const parent of directories) {
    const found = readCertificateDirectory(path.join(parent, host))
    if (found !== undefined) return found
  }
  return { authorities: [] }
}

/** Undefined when there is no such directory. @throws StaveError `tls` */
export function readCertificateDirectory(directory: string): Certificates | undefined {
  let names: string[]
  try {
    names = readdirSync(directory).sort()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new StaveError('tls', `cannot read certificates in ${directory}`, { cause: error })
  }
  const read = (name: string): string => {
    try {
      return readFileSync(path.join(directory, name), 'utf8')
    } catch (cause) {
      throw new StaveError('tls', `cannot read certificate ${path.join(directory, name)}`, { cause })
    }
  }
  const authorities = names.filter((name) => name.endsWith('.crt')).map(read)
  const certificate = names.find((name) => name.endsWith('.cert'))
  if (certificate === undefined) return { authorities }
  const key = certificate.replace(/\.cert$/, '.key')
  if (!names.includes(key)) {
    throw new StaveError('tls', `cannot use client certificate ${path.join(directory, certificate)}: ${key} is missing beside it`, {
      hint: 'Authorities are named *.crt, client certificates *.cert with a *.key.',
    })
  }
  return { authorities, client: { certificate: read(certificate), key: read(key) } }
}

/** The authorities that Node brings, and those that the machine's administrator added. */
export function systemAuthorities(): readonly string[] {
  return [...getCACertificates('default'), ...getCACertificates('system')]
}

/** Where all trusted authorities are, as $SSL_CERT_FILE and $SSL_CERT_DIR name them: for OpenSSL and for Go's programs. */
export interface TrustBundle {
  readonly file?: string
  /** Several with colons between. */
  readonly directories?: string
}

/** The bundle that an environment names; undefined when it names none. */
export function bundleOf(environment: Readonly<Record<string, string | undefined>>): TrustBundle | undefined {
  const { SSL_CERT_FILE: file, SSL_CERT_DIR: directories } = environment
  if (!file && !directories) return undefined
  return { ...(file && { file }), ...(directories && { directories }) }
}

/** The certificates of a bundle, in PEM. @throws StaveError `tls` when what was named cannot be read, or has none in it */
export function readBundle({ file, directories }: TrustBundle): readonly string[] {
  const files = file === undefined ? [] : [file]
  for (const directory of directories?.split(':') ?? []) {
    if (directory === '') continue
    try {
      const names = readdirSync(directory).sort()
      files.push(...names.map((name) => path.join(directory, name)))
    } catch (cause) {
      throw new StaveError('tls', `cannot read the certificates in ${directory}, which $SSL_CERT_DIR names`, { cause })
    }
  }
  const found = new Set<string>()
  for (const name of files) {
    const text = readListed(name, file)
    for (const [certificate] of text.matchAll(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g))
      found.add(certificate)
  }
  if (found.size > 0) return [...found]
  throw new StaveError('tls', `cannot trust anybody: there is no certificate in ${files.join(', ') || directories}`, {
    hint: 'Check $SSL_CERT_FILE and $SSL_CERT_DIR, or unset them.',
  })
}

function readListed(name: string, file: string | undefined): string {
  try {
    return readFileSync(name, 'utf8')
  } catch (cause) {
    // Directories of certificates have others below them, and links to what was removed.
    if (name !== file && ['EISDIR', 'ENOENT'].includes((cause as NodeJS.ErrnoException).code ?? '')) return ''
    throw new StaveError('tls', `cannot read certificate ${name}, which $SSL_CERT_${name === file ? 'FILE' : 'DIR'} names`, { cause })
  }
}
