// Mounting part of an image by the kernel's loop device. The mount lives in this process's own mount namespace and the loop device clears
// itself, so neither outlives the process.

import { mkdtempSync, rmdirSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './program.ts'
import { Refusal } from './refusal.ts'

export interface Mounted {
  readonly dir: string
  free(): { readonly bytes: number; readonly inodes: number }
  /** Unmounts; everything is on the image afterwards. Harmless when called again. */
  close(): void
}

const OPTIONS = { 'read-only': 'ro,noload', 'read-write': 'rw' } as const

/** Throws where this process may not mount. */
export const mountExt4 = (
  path: string,
  { startBytes, sizeBytes }: { readonly startBytes: number; readonly sizeBytes: number },
  mode: keyof typeof OPTIONS,
): Mounted => {
  if (process.env['HELIO_FLASH_MOUNTS'] !== 'own')
    throw new Refusal(`mount ${path}: this needs root and a mount namespace`, 'run scripts/flash as root; a folder can be flashed without')
  const dir = mkdtempSync(join(tmpdir(), 'helio-flash-'))
  const part = `loop,offset=${startBytes},sizelimit=${sizeBytes}`
  try {
    run('mount', '-t', 'ext4', '-o', `${OPTIONS[mode]},nodev,nosuid,noexec,noatime,${part}`, path, dir)
  } catch (error) {
    rmdirSync(dir)
    throw new Refusal(`mount ${path}: the kernel refused`, 'e2fsck the image; is the loop module there?', { cause: error })
  }
  const state = { open: true }
  return {
    dir,
    free() {
      const { bavail, bsize, ffree } = statfsSync(dir)
      return { bytes: bavail * bsize, inodes: ffree }
    },
    close() {
      if (!state.open) return
      run('umount', dir)
      state.open = false
      rmdirSync(dir)
    },
  }
}

/** Checks an ext4 file system without changing it; throws with what the checker said. */
export const checkExt4 = (path: string, { startBytes }: { readonly startBytes: number }): void => {
  run('e2fsck', '-f', '-n', startBytes === 0 ? path : `${path}?offset=${startBytes}`)
}
