// The version of a packaged executable that this machine may not be able to run: from the bill of materials beside it, when that speaks of
// these very bytes, else the version of this checkout.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOfFile } from './tree-digest.ts'

interface Sbom {
  readonly metadata?: { readonly component?: { readonly version?: string; readonly hashes?: readonly { readonly content?: string }[] } }
}

export const versionOf = (helio: string): string => {
  const file = `${helio}.cdx.json`
  if (existsSync(file)) {
    const { version, hashes } = (JSON.parse(readFileSync(file, 'utf8')) as Sbom).metadata?.component ?? {}
    if (version !== undefined && hashes?.some(({ content }) => content === digestOfFile(helio))) return version
  }
  return (JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string }).version
}
