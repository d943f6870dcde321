// The bounds of the image store. An import that reaches one is refused with one line and leaves the store as it was.

/** JSON documents (index, manifest, config): read whole into memory, so bounded; containerd's and Docker's limit is 4 MiB too. */
export const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
/** An index that names an index …: refused beyond this depth. */
export const INDEX_DEPTH_MAX = 4
/** Manifests of one archive's index, over all platforms. */
export const INDEX_MANIFESTS_MAX = 1000
/** Entries of an archive; an OCI archive holds a file per blob. */
export const ARCHIVE_ENTRIES_MAX = 20_000
/** Unpacked bytes of a compressed archive's outer tar, held in a temporary file while importing. */
export const ARCHIVE_BYTES_MAX = 64 * 1024 ** 3
/** Layers of one image; overlayfs itself ends at 500, Docker at 127. */
export const LAYERS_MAX = 127
/** Unpacked bytes of one layer: a decompression bomb stops here. */
export const LAYER_BYTES_MAX = 16 * 1024 ** 3
/** Entries of one layer, whiteouts included. */
export const LAYER_ENTRIES_MAX = 1_000_000
/** Bytes of a path inside a layer, and of a symlink's target (PATH_MAX). */
export const PATH_BYTES_MAX = 4095
/** Components of a path inside a layer. */
export const PATH_DEPTH_MAX = 128
/** Bytes of one component (NAME_MAX). */
export const NAME_BYTES_MAX = 255
/** Extended attributes kept of one layer; more are refused. */
export const LAYER_XATTRS_MAX = 100_000
/** A zstd frame that asks for a larger window than zstd itself allows by default is refused. */
export const ZSTD_WINDOW_BYTES_MAX = 128 * 1024 * 1024
/** Compressed bytes given to the zstd decoder at a time: bounds what one step may inflate to (a block of 128 KiB needs 4 bytes). */
export const ZSTD_SLICE_BYTES = 1024
/** Names of one image; more are refused. */
export const NAMES_MAX = 100
/** How long an import waits for another process's import before it gives up, and how often it looks. */
export const LOCK_WAIT_MS_MAX = 10 * 60_000
export const LOCK_POLL_MS = 200
