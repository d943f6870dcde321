// The folder of manifests a device was delivered with, DATA_DIR/preload, and whether they still count: the first document of a server takes
// their place, once and for all.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Files } from '../base/files.ts'

export const PRELOAD_DIR = 'preload'
/** In the folder: the server's first document has come. The manifests count no more, whatever becomes of the device's memory. */
const REPLACED_FILE = 'replaced'

const markOf = (dir: string): string => join(dir, PRELOAD_DIR, REPLACED_FILE)

/** True when manifests lie there that no server's document has replaced. */
export const hasPreload = (dir: string): boolean => existsSync(join(dir, PRELOAD_DIR)) && !existsSync(markOf(dir))

/** From now on the manifests are history. Durable when it returns; nothing happens where there are none. */
export const replacePreload = (dir: string, files: Files): void => {
  if (hasPreload(dir)) files.write(markOf(dir), 'the first document of a server took the place of these\n', 0o600)
}
