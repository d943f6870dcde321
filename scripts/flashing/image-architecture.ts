// For which machine an image archive is: what its own configs say. An index for many is left to the image store, which picks.

import { type BlobSource, openBlobSource } from '../../src/agent/images/blob-source.ts'
import { readBlob, readSmall } from '../../src/agent/images/digest.ts'
import { indexOf, isIndexType, manifestOf, parseDocument } from '../../src/agent/images/manifest.ts'
import { isObject } from '../../src/base/json.ts'
import { Refusal } from './refusal.ts'

/** As OCI names them, by process.arch. */
export const OCI_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm' }

/** Architectures its configs name, of an OCI layout or a Docker archive. */
const statedBy = async (source: BlobSource, archive: string): Promise<unknown[]> => {
  const index = await readSmall(source, 'index.json')
  if (index === undefined) {
    const list: unknown = JSON.parse((await readSmall(source, 'manifest.json'))?.toString() ?? '[]')
    const names = (Array.isArray(list) ? list : []).map((each: unknown) => (isObject(each) ? each['Config'] : undefined))
    const configs = await Promise.all(names.filter(name => typeof name === 'string').map(name => readSmall(source, name)))
    return configs.map(bytes => (bytes ? parseDocument(bytes, archive)['architecture'] : undefined))
  }
  const stated: unknown[] = []
  for (const descriptor of indexOf(parseDocument(index, archive), archive)) {
    if (isIndexType(descriptor.mediaType)) continue
    const { config } = manifestOf(parseDocument(await readBlob(source, descriptor, archive), archive), archive)
    stated.push(parseDocument(await readBlob(source, config, archive), archive)['architecture'])
  }
  return stated
}

/** Throws a Refusal when an image of the archive says that it is for another machine. `scratch`: a file that may be made. */
export const checkArchitecture = async (archive: string, arch: string, scratch: string): Promise<void> => {
  const wanted = OCI_ARCHITECTURES[arch] ?? arch
  const source = await openBlobSource(archive, scratch)
  try {
    for (const stated of await statedBy(source, archive))
      if (typeof stated === 'string' && stated !== '' && stated !== wanted)
        throw new Refusal(`image ${archive}: it is for ${stated}, the board is ${wanted}`, `skopeo copy --override-arch ${wanted} …`)
  } finally {
    await source.close()
  }
}
