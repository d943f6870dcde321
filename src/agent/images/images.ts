// The device's image store: OCI images from archives and layout folders, unpacked once a layer, shared by all containers.
// A crash at any moment leaves either the old or the new state; an image nobody can pull again is never collected.

/** What a container needs to know of its image (OCI image-spec config). */
export interface ImageConfig {
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  readonly env: readonly string[]
  readonly workingDir: string
  /** `uid`, `uid:gid`, `name` or `name:group`; '' is root. */
  readonly user: string
  readonly stopSignal: string
  readonly labels: Readonly<Record<string, string>>
}

export interface Image {
  /** Hex digest of the config with its algorithm, `sha256:…`: the image ID. */
  readonly id: string
  /** Fully qualified names, `docker.io/library/busybox:1.36`; empty when a newer image took them over. */
  readonly names: readonly string[]
  /** Digests of its manifest and of the index it came from: what `name@sha256:…` is looked up by. */
  readonly digests: readonly string[]
  /** Bytes of its blobs as imported. */
  readonly sizeBytes: number
  readonly importedAt: string
  /** Absolute directories, lowest layer first. */
  readonly layers: readonly string[]
  readonly config: ImageConfig
}

export interface ImportOptions {
  /** The name to give it instead of those in the archive; the archive must then hold one image. */
  readonly name?: string
  /** Bytes of the input read so far, and in all. */
  readonly onProgress?: (done: number, total: number) => void
  readonly signal?: AbortSignal
}

export interface ImageStore {
  /** By name as a manifest writes it (`busybox`, `repo/app:1`, `name@sha256:…`) or by id; undefined when it is not here. Cheap. */
  resolve(reference: string): Image | undefined
  list(): readonly Image[]
  /** Takes an OCI or Docker archive (tar, also compressed) or a layout folder, verifying every digest. Refused whole or taken whole. */
  import(path: string, options?: ImportOptions): Promise<readonly Image[]>
  /** Drops a name; with its last name, or by id, the image, and then the layers no image needs. Layers of mounted containers stay until then. */
  remove(reference: string): Promise<void>
  /** Reads the index again after another process imported. */
  refresh(): void
}
