// One file from a Node, the bundle and the addon: Node stripped, the bundle injected as Node's own single-executable blob with a code cache
// made by that very Node, the addon behind the last section, and a footer of 32 bytes that says how long it is (read by prelude.cts).

import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire, stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { once, run, sha256Of } from './shell.ts'
import type { Target } from './targets.ts'

const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'
const POSTJECT = createRequire(import.meta.url).resolve('postject/dist/cli.js')
const RESOURCE = 'NODE_SEA_BLOB'

/** The npm package, its integrity checked against the pin, unpacked once; answers the path of its Node. */
const fetchNode = async ({ node }: Target, cache: string): Promise<string> => {
  const folder = await once(join(cache, `${node.package}-${node.version}`), async draft => {
    await run(['npm', 'pack', '--silent', '--ignore-scripts', `${node.package}@${node.version}`, '--pack-destination', draft])
    const archive = join(draft, `${node.package}-${node.version}.tgz`)
    const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
    if (found !== node.integrity) throw new Error(`fetch ${node.package}: not the bytes that are pinned`)
    await run(['tar', '-xzf', archive, '-C', draft, '--no-same-owner', 'package/bin/node', 'package/LICENSE'])
    rmSync(archive)
  })
  return join(folder, 'package/bin/node')
}

/** The bundle with the prelude before it. The first line of dist/helio is for `env`; what it sets is set inside the executable. */
const programOf = (bundle: string): string => {
  const prelude = stripTypeScriptTypes(readFileSync(join(import.meta.dirname, 'prelude.cts'), 'utf8'))
  const start = `"use strict";${prelude}\nconst helioRequire = prelude(require); if (helioRequire === undefined) return; require = helioRequire;\n`
  return start + bundle.slice(bundle.indexOf('\n') + 1)
}

/** Path of the blob. */
const blobOf = async (target: Target, node: string, program: string, cache: string): Promise<string> => {
  const key = sha256Of(program, JSON.stringify(target)).slice(0, 16)
  const folder = await once(join(cache, `blob-${target.name}-${key}`), async draft => {
    writeFileSync(join(draft, 'helio.cjs'), program)
    const config = { main: 'helio.cjs', output: 'blob', disableExperimentalSEAWarning: true, useCodeCache: true, execArgv: target.flags }
    writeFileSync(join(draft, 'sea.json'), JSON.stringify(config))
    // Without a fixed seed the hashes of strings, and with them the code cache, differ each time; V8 leaves the seed out of what must match.
    await run([...target.emulator, node, ...target.flags, '--random-seed=1', '--experimental-sea-config', 'sea.json'], { cwd: draft })
  })
  return join(folder, 'blob')
}

const footerOf = (addon: Buffer): string => `helio-addon ${String(addon.length).padStart(19, '0')}\n`

/** Writes `out`, complete or not at all. */
export const buildExecutable = async (
  target: Target,
  { bundle, addon }: { readonly bundle: string; readonly addon: Buffer },
  folders: { readonly nodes: string; readonly work: string },
  out: string,
): Promise<void> => {
  const node = await fetchNode(target, folders.nodes)
  const blob = await blobOf(target, node, programOf(bundle), folders.work)
  mkdirSync(dirname(out), { recursive: true })
  const draft = mkdtempSync(join(dirname(out), '.draft-'))
  try {
    const file = join(draft, 'helio')
    copyFileSync(node, file)
    chmodSync(file, 0o755)
    await run([`${target.triple}-strip`, '--strip-all', file])
    await run([process.execPath, POSTJECT, file, RESOURCE, blob, '--sentinel-fuse', FUSE])
    writeFileSync(file, Buffer.concat([addon, Buffer.from(footerOf(addon))]), { flag: 'a' })
    renameSync(file, out)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}
