// Putting a payload into a root tree, and looking whether it is there. What is written is what `helio install` writes, by its own code, with
// the seed, the pre-loaded manifests and the images beside it.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { loadIndex } from '../../src/agent/images/index-file.ts'
import { PRELOAD_DIR } from '../../src/agent/preload-folder.ts'
import { SEED_FILE } from '../../src/agent/seed.ts'
import { targetOf } from '../../src/agent/slots/executable.ts'
import { readSlots, slotProgram } from '../../src/agent/slots/slots.ts'
import { silentLog } from '../../src/base/log.ts'
import { syncFolder, systemFiles } from '../../src/host/files.ts'
import { openTree, type Tree } from '../../src/host/install/tree.ts'
import { installHere } from '../../src/main-install.ts'
import { openBoardImages, type Payload } from './payload.ts'
import { versionOf } from './program-version.ts'
import { Refusal } from './refusal.ts'
import { digestOfFile, entriesBelow, entryText } from './tree-digest.ts'

const REPLACED = 'replaced'

/** A device that has lived already keeps its state, and would not look at what is given here. */
const refuseLived = (tree: Tree, { dataDir, seed, manifests }: Payload): void => {
  if ((seed !== undefined || manifests.length > 0) && tree.exists(`${dataDir}/agent.db`))
    throw new Refusal('the image holds the state of a device that has run: it would not look at a seed', 'flash a fresh base image')
}

const writePreload = (tree: Tree, { dataDir, manifests }: Payload): void => {
  if (manifests.length === 0) return
  const dir = `${dataDir}/${PRELOAD_DIR}`
  tree.makeFolder(dir, 0o700)
  for (const name of readdirSync(tree.real(dir))) if (/\.(yaml|yml|json)$/.test(name) || name === REPLACED) tree.remove(`${dir}/${name}`)
  for (const file of manifests) tree.write(`${dir}/${basename(file)}`, readFileSync(file, 'utf8'), 0o600)
}

/** Writes everything but a seed for the boot partition. `seedOn`: whether the seed goes into this tree. */
export const writeRoot = async (dir: string, payload: Payload, seedOn: 'root' | 'boot', tell: (line: string) => void): Promise<void> => {
  const tree = openTree(dir)
  refuseLived(tree, payload)
  const seedFile = `/etc/heliopause/${SEED_FILE}`
  // An older one would be found first, or instead.
  for (const folder of ['/boot/firmware', '/boot', '/etc/heliopause'])
    if (payload.seedText !== undefined) tree.remove(`${folder}/${SEED_FILE}`)
  const { helio, role, configFile: config, archives, arch } = payload
  const program = { file: helio, version: versionOf(helio), target: targetOf(arch) }
  await installHere(
    {
      role,
      root: dir,
      init: undefined,
      config,
      flags: payload.configFile !== undefined && payload.setServer !== undefined ? { server: payload.setServer } : {},
      start: false,
      dryRun: false,
      program,
    },
    { signal: new AbortController().signal, tell: () => undefined },
  )
  tell('program, configuration and service are written')
  writePreload(tree, payload)
  if (payload.seedText !== undefined && seedOn === 'root') tree.write(seedFile, payload.seedText, 0o600)
  if (archives.length > 0) {
    tree.makeFolder(`${payload.dataDir}/images`, 0o700)
    const store = openBoardImages(tree.real(`${payload.dataDir}/images`), arch)
    for (const archive of archives) await store.import(archive)
    tell(`images are written: ${payload.imageNames.join(', ')}`)
  }
  syncFolder(dir)
}

const expectEqual = (what: string, found: string | undefined, wanted: string | undefined): void => {
  if (found === wanted && found !== undefined) return
  throw new Refusal(`verify: ${what} is not what was written`, 'is the medium damaged? Flash again, onto another one')
}

/** Compares the tree with the payload, by digest, entry by entry of the images. Answers how many things were compared. */
export const verifyRoot = (dir: string, payload: Payload, seedOn: 'root' | 'boot'): number => {
  const tree = openTree(dir)
  const { helio, dataDir, imagesDir, manifests, seedText } = payload
  const view = readSlots({ files: systemFiles }, tree.real(dataDir))
  if (view.starts === undefined) throw new Refusal('verify: no slot holds a program')
  expectEqual('the program', digestOfFile(slotProgram(tree.real(dataDir), view.starts)), digestOfFile(helio))
  for (const file of manifests)
    expectEqual(basename(file), tree.read(`${dataDir}/${PRELOAD_DIR}/${basename(file)}`), readFileSync(file, 'utf8'))
  if (seedOn === 'root' && seedText !== undefined) expectEqual('the seed', tree.read(`/etc/heliopause/${SEED_FILE}`), seedText)
  if (!tree.exists('/usr/local/bin/helio')) throw new Refusal('verify: the launcher is missing')
  const layers = imagesDir === undefined ? '' : join(imagesDir, 'layers')
  const entries = existsSync(layers) ? entriesBelow(layers) : []
  const written = tree.real(`${dataDir}/images/layers`)
  for (const entry of entries) expectEqual(`layer ${entry}`, entryText(join(written, entry)), entryText(join(layers, entry)))
  if (imagesDir !== undefined) {
    const names = loadIndex(tree.real(`${dataDir}/images`), silentLog).images.flatMap(image => image.names)
    const lost = payload.imageNames.find(name => !names.includes(name))
    if (lost !== undefined) throw new Refusal(`verify: image ${lost} is not in the store`)
  }
  return entries.length + manifests.length + 3
}
