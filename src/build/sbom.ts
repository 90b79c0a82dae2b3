import type { Context } from '#context.ts'
import type { Result } from './output.ts'
import type { Session } from './session.ts'
import { digestHex } from '#oci/digest.ts'
import { isoTime } from './assemble.ts'

/** A package as some package manager has written it down. */
export interface Package {
  readonly name: string
  readonly version: string
  readonly url: string
  readonly license?: string
  readonly supplier?: string
  /** The file that says so. */
  readonly from: string
}

/** One file of them: the databases of Debian and Alpine have some megabytes. */
const fileBytes = 64 * 1024 * 1024

const patterns: readonly string[] = [
  '/etc/os-release',
  '/usr/lib/os-release',
  '/var/lib/dpkg/status',
  '/var/lib/dpkg/status.d/*',
  '/lib/apk/db/installed',
  '/usr/lib/apk/db/installed',
  '/var/lib/rpm/rpmdb.sqlite',
  '/usr/lib/sysimage/rpm/rpmdb.sqlite',
  '**/node_modules/*/package.json',
  '**/node_modules/@*/*/package.json',
  '**/*.dist-info/METADATA',
  '**/*.egg-info/PKG-INFO',
  '**/*.egg-info',
]

/** An SPDX document of what package managers have written down in the image. No program of the image runs. */
export async function softwareBill(cx: Context, session: Session, { image, state }: Result): Promise<unknown> {
  const { store, options } = session
  const { files } = await store.runner.read(cx, {
    from: { kind: 'lowers', lowers: await state.trees() },
    paths: patterns,
    maxBytes: fileBytes,
  })
  const contents = new Map(
    files.map(({ path, base64 }) => [path.startsWith('/') ? path : `/${path}`, Buffer.from(base64, 'base64')] as const),
  )
  const release = parseRelease((contents.get('/etc/os-release') ?? contents.get('/usr/lib/os-release'))?.toString() ?? '')
  const packages: Package[] = []
  for (const [path, bytes] of [...contents].sort(([a], [b]) => (a < b ? -1 : 1))) {
    packages.push(...(await readPackages(path, bytes, release)))
  }
  const name = options.tags?.[0] ?? 'image'
  const epoch = session.output.epoch
  return spdx(name, digestHex(image.descriptor.digest), isoTime(epoch === undefined ? Date.now() : epoch * 1000), packages)
}

export async function readPackages(path: string, bytes: Buffer, release: Release): Promise<readonly Package[]> {
  if (/^\/var\/lib\/dpkg\/status(?:$|\.d\/[^.]+$)/.test(path)) {
    return dpkg(path, bytes.toString(), release)
  }
  if (path.endsWith('/lib/apk/db/installed')) {
    return apk(path, bytes.toString(), release)
  }
  if (path.endsWith('rpmdb.sqlite')) {
    const { rpm } = await import('./sbom-rpm.ts')
    return rpm(path, bytes, release)
  }
  if (path.endsWith('/package.json')) {
    return npm(path, bytes.toString())
  }
  if (/\/(?:METADATA|PKG-INFO|[^/]+\.egg-info)$/.test(path)) {
    return python(path, bytes.toString())
  }
  return []
}

export interface Release {
  readonly id: string
  readonly version: string
}

export function parseRelease(text: string): Release {
  const value = (key: string): string => (new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '').trim().replace(/^(["'])(.*)\1$/, '$2')
  return { id: value('ID'), version: value('VERSION_ID') }
}

/** `distro` tells which security database counts. @see purl-spec, types deb, apk, rpm */
export function systemUrl(
  type: 'deb' | 'apk' | 'rpm',
  release: Release,
  fallback: string,
  name: string,
  version: string,
  architecture: string | undefined,
): string {
  const query = new URLSearchParams()
  if (architecture !== undefined) {
    query.set('arch', architecture)
  }
  if (release.id !== '') {
    query.set('distro', release.version === '' ? release.id : `${release.id}-${release.version}`)
  }
  const tail = query.size === 0 ? '' : `?${query.toString()}`
  return `pkg:${type}/${release.id || fallback}/${encodeURIComponent(name)}@${encodeURIComponent(version)}${tail}`
}

/** Paragraphs of `Key: value`, continued by lines that begin with a blank. */
function paragraphs(text: string): readonly ReadonlyMap<string, string>[] {
  return text.split(/\n\s*\n/).map((paragraph) => {
    const fields = new Map<string, string>()
    for (const line of paragraph.split('\n')) {
      const colon = line.indexOf(':')
      if (colon > 0 && !/^\s/.test(line)) {
        const key = line.slice(0, colon)
        fields.set(key, fields.get(key) ?? line.slice(colon + 1).trim())
      }
    }
    return fields
  })
}

function dpkg(from: string, text: string, release: Release): readonly Package[] {
  return paragraphs(text).flatMap((fields) => {
    const [name, version, status] = [fields.get('Package'), fields.get('Version'), fields.get('Status')]
    // Removed packages stay in the list, with their configuration.
    if (
      name === undefined ||
      version === undefined ||
      (status !== undefined && !/\binstalled$/.test(status)) ||
      status?.includes('not-installed') === true
    ) {
      return []
    }
    const supplier = fields.get('Maintainer')
    return [
      {
        name,
        version,
        url: systemUrl('deb', release, 'debian', name, version, fields.get('Architecture')),
        from,
        ...(supplier === undefined ? {} : { supplier }),
      },
    ]
  })
}

function apk(from: string, text: string, release: Release): readonly Package[] {
  return paragraphs(text).flatMap((fields) => {
    const [name, version] = [fields.get('P'), fields.get('V')]
    if (name === undefined || version === undefined) {
      return []
    }
    const license = fields.get('L')
    return [
      {
        name,
        version,
        url: systemUrl('apk', release, 'alpine', name, version, fields.get('A')),
        from,
        ...(license === undefined ? {} : { license }),
      },
    ]
  })
}

function npm(from: string, text: string): readonly Package[] {
  let document: { name?: unknown; version?: unknown; license?: unknown }
  try {
    document = JSON.parse(text) as typeof document
  } catch {
    // Test data of some package: no package itself.
    return []
  }
  const { name, version, license } = document ?? {}
  if (typeof name !== 'string' || typeof version !== 'string') {
    return []
  }
  const url = `pkg:npm/${name.replace(/^@/, '%40')}@${encodeURIComponent(version)}`
  return [{ name, version, url, from, ...(typeof license === 'string' ? { license } : {}) }]
}

/** @see PEP 503 for normalised names */
function python(from: string, text: string): readonly Package[] {
  const fields = paragraphs(text)[0]
  const [name, version, license] = [
    fields?.get('Name'),
    fields?.get('Version'),
    fields?.get('License-Expression') ?? fields?.get('License'),
  ]
  if (name === undefined || version === undefined) {
    return []
  }
  const url = `pkg:pypi/${name.toLowerCase().replace(/[-_.]+/g, '-')}@${encodeURIComponent(version)}`
  return [{ name, version, url, from, ...(license === undefined || license === '' ? {} : { license }) }]
}

/** @see SPDX 2.3, "Document Creation Information" and "Package Information" */
export function spdx(name: string, digest: string, created: string, packages: readonly Package[]): unknown {
  const root = 'SPDXRef-DocumentRoot'
  const listed = packages.map((found, at) => ({
    SPDXID: `SPDXRef-Package-${at}`,
    name: found.name,
    versionInfo: found.version,
    supplier: found.supplier === undefined ? 'NOASSERTION' : `Organization: ${found.supplier}`,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    sourceInfo: `from ${found.from}`,
    licenseConcluded: 'NOASSERTION',
    licenseDeclared:
      found.license !== undefined && /^[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*$/.test(found.license)
        ? found.license
        : 'NOASSERTION',
    copyrightText: 'NOASSERTION',
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: found.url }],
  }))
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name,
    documentNamespace: `urn:stave:sbom:${digest}`,
    creationInfo: { created: created.replace(/\.\d+Z$/, 'Z'), creators: ['Tool: stave'] },
    packages: [
      {
        SPDXID: root,
        name,
        versionInfo: `sha256:${digest}`,
        downloadLocation: 'NOASSERTION',
        filesAnalyzed: false,
        licenseConcluded: 'NOASSERTION',
        licenseDeclared: 'NOASSERTION',
        copyrightText: 'NOASSERTION',
        primaryPackagePurpose: 'CONTAINER',
      },
      ...listed,
    ],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: root },
      ...listed.map(({ SPDXID }) => ({ spdxElementId: root, relationshipType: 'CONTAINS', relatedSpdxElement: SPDXID })),
    ],
  }
}
