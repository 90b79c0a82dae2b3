import type { Package } from './packages/package.ts'

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
