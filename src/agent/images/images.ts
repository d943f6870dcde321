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
  /** Fully qualified names, `docker.io/library/busybox:1.36`. */
  readonly names: readonly string[]
  readonly sizeBytes: number
  readonly importedAt: string
  /** Absolute directories, lowest layer first. */
  readonly layers: readonly string[]
  readonly config: ImageConfig
}

export interface ImageStore {
  /** By name as a manifest writes it (`busybox`, `repo/app:1`, `name@sha256:…`) or by id; undefined when it is not here. Cheap. */
  resolve(reference: string): Image | undefined
  list(): readonly Image[]
  /** Takes an OCI archive (tar, also compressed) or a layout folder, verifying every digest. Progress in bytes of the input. */
  import(path: string, options?: { readonly name?: string; readonly onProgress?: (done: number, total: number) => void; readonly signal?: AbortSignal }): Promise<readonly Image[]>
  remove(reference: string): Promise<void>
  /** Reads the index again after another process imported. */
  refresh(): void
}
