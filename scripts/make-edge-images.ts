// usage: node scripts/make-edge-images.ts SET FOLDER: writes the OCI archives of edge-configs/SET, one file each, and prints their paths.
// They run on boards of this machine's architecture.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { edgeImages } from './edge-images.ts'
import { writeImage } from './oci-image.ts'

const [set = '', folder] = process.argv.slice(2)
const images = edgeImages()[set]
if (images === undefined || folder === undefined) {
  process.stderr.write(`usage: make-edge-images SET FOLDER, where SET is one of ${Object.keys(edgeImages()).join(', ')}\n`)
  process.exit(2)
}
mkdirSync(folder, { recursive: true })
for (const [name, recipe] of Object.entries(images)) {
  const file = join(folder, `${name}.tar`)
  await writeImage(file, recipe)
  process.stdout.write(`${file}\n`)
}
