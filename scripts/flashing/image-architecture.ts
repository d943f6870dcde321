// For which machine an image archive is: what its own configs say. An index for many is left to the image store, which picks.

import { openBlobSource } from '../../src/agent/images/blob-source.ts'
import { readBlob, readSmall } from '../../src/agent/images/digest.ts'
import { indexOf, isIndexType, manifestOf, parseDocument } from '../../src/agent/images/manifest.ts'
import { Refusal } from './refusal.ts'

/** As OCI names them, by process.arch. */
export const OCI_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm' }

/** Throws a Refusal when an image of the archive is for another machine. `scratch`: a file that may be made. Docker archives are not looked into. */
export const checkArchitecture = async (archive: string, arch: string, scratch: string): Promise<void> => {
  const wanted = OCI_ARCHITECTURES[arch] ?? arch
  const source = await openBlobSource(archive, scratch)
  try {
    const index = await readSmall(source, 'index.json')
    if (index === undefined) return
    for (const descriptor of indexOf(parseDocument(index, archive), archive)) {
      if (isIndexType(descriptor.mediaType)) continue
      const { config } = manifestOf(parseDocument(await readBlob(source, descriptor, archive), archive), archive)
      const { architecture } = parseDocument(await readBlob(source, config, archive), archive)
      if (typeof architecture === 'string' && architecture !== '' && architecture !== wanted)
        throw new Refusal(`image ${archive}: it is for ${architecture}, the board is ${wanted}`, `skopeo copy --override-arch ${wanted} …`)
    }
  } finally {
    await source.close()
  }
}
