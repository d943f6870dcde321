// The bill of materials of one executable, CycloneDX 1.6: the packages whose code the bundler took in, as package-lock.json pins them, Node
// and SQLite. Nothing in it depends on the time or the machine.

import type { Target } from './targets.ts'

interface Locked {
  readonly version?: string
  readonly integrity?: string
  readonly license?: string
}

export interface SbomInput {
  readonly target: Target
  readonly version: string
  readonly commit: string
  /** RFC 3339. */
  readonly builtAt: string
  readonly sha256: string
  readonly sqlite: string
  /** `packages` of package-lock.json, by folder. */
  readonly locked: Readonly<Record<string, Locked>>
  /** Source files in the bundle, relative to the project; of packages, those below node_modules. */
  readonly sources: readonly string[]
}

const FOLDER = /node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/

const hashesOf = (integrity: string | undefined): { alg: string; content: string }[] =>
  integrity?.startsWith('sha512-') ? [{ alg: 'SHA-512', content: Buffer.from(integrity.slice(7), 'base64').toString('hex') }] : []

const component = (name: string, { version = '', integrity, license }: Locked) => {
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
  const known = license === undefined ? [] : [license.includes(' ') ? { expression: license } : { license: { id: license } }]
  return { type: 'library', 'bom-ref': purl, name, version, hashes: hashesOf(integrity), licenses: known, purl }
}

/** Folders of packages in the bundle; sqlite3 and the headers its addon is compiled with are in it too. */
const foldersOf = (sources: readonly string[]): string[] => {
  const folders = sources.map(source => FOLDER.exec(source)?.[0]).filter(folder => folder !== undefined)
  return [...new Set([...folders, 'node_modules/sqlite3', 'node_modules/node-addon-api'])].sort()
}

export const sbomOf = (input: SbomInput): Record<string, unknown> => {
  const { node, name: target } = input.target
  const packages = foldersOf(input.sources).map(folder => {
    const locked = input.locked[folder]
    if (locked === undefined) throw new Error(`write bill of materials: package-lock.json does not know ${folder}; run npm install`)
    return component(folder.slice(folder.lastIndexOf('node_modules/') + 13), locked)
  })
  const sqlite = `pkg:generic/sqlite@${input.sqlite}`
  const program = `pkg:generic/heliopause@${input.version}?target=${target}`
  const components = [
    ...packages,
    { ...component(node.package, { ...node, license: 'MIT' }), type: 'platform' },
    {
      type: 'library',
      'bom-ref': sqlite,
      name: 'sqlite',
      version: input.sqlite,
      licenses: [{ license: { id: 'blessing' } }],
      purl: sqlite,
    },
  ]
  const id = input.sha256
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${id.slice(0, 8)}-${id.slice(8, 12)}-8${id.slice(13, 16)}-8${id.slice(17, 20)}-${id.slice(20, 32)}`,
    version: 1,
    metadata: {
      timestamp: input.builtAt,
      component: {
        type: 'application',
        'bom-ref': program,
        name: `helio-${target}`,
        version: input.version,
        hashes: [{ alg: 'SHA-256', content: input.sha256 }],
        licenses: [{ license: { id: 'Apache-2.0' } }],
        purl: program,
        properties: [{ name: 'heliopause:commit', value: input.commit }],
      },
    },
    components,
    dependencies: [{ ref: program, dependsOn: components.map(part => part['bom-ref']) }],
  }
}
