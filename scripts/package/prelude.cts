// Stands before the program inside a packaged executable. Node's own `require` knows only built-in modules there; SQLite's addon travels
// behind the executable's last section and is loaded from a private file that is gone again before the program starts.
// Node 20.11 API only: no sea.getAsset, no process.getBuiltinModule.

type Load = (id: string) => unknown

// biome-ignore lint/correctness/noUnusedVariables: the packager appends the call.
const prelude = (load: Load): Load | undefined => {
  const fs = load('node:fs') as typeof import('node:fs')
  const path = load('node:path') as typeof import('node:path')
  const os = load('node:os') as typeof import('node:os')
  const FOOTER_BYTES = 32
  const ADDON_BYTES_MAX = 16 * 1024 * 1024
  const loaded: { exports?: unknown } = {}

  /** The program that runs, even when its name has been given to a newer one. */
  const readAddon = (): Buffer => {
    const file = fs.openSync(fs.existsSync('/proc/self/exe') ? '/proc/self/exe' : process.execPath, 'r')
    try {
      const end = fs.fstatSync(file).size - FOOTER_BYTES
      const footer = Buffer.alloc(FOOTER_BYTES)
      fs.readSync(file, footer, 0, FOOTER_BYTES, end)
      const size = Number(/^helio-addon (\d{19})\n$/.exec(footer.toString('latin1'))?.[1] ?? 0)
      if (!(size > 0 && size <= ADDON_BYTES_MAX && size < end)) throw new Error('open executable: it is cut short')
      const addon = Buffer.alloc(size)
      if (fs.readSync(file, addon, 0, size, end - size) !== size) throw new Error('open executable: it is cut short')
      return addon
    } finally {
      fs.closeSync(file)
    }
  }

  /** Written, loaded and removed: the mapping stays, the page cache may drop it, and it is gone before it reaches a disk. */
  const loadFrom = (parent: string, addon: Buffer): unknown => {
    const folder = fs.mkdtempSync(path.join(parent, 'helio-'))
    try {
      const file = path.join(folder, 'node_sqlite3.node')
      fs.writeFileSync(file, addon, { mode: 0o700, flag: 'wx' })
      const holder = { exports: {} }
      process.dlopen(holder, file)
      return holder.exports
    } finally {
      fs.rmSync(folder, { recursive: true, force: true })
    }
  }

  const loadAddon = (): unknown => {
    if (loaded.exports !== undefined) return loaded.exports
    const addon = readAddon()
    const refusals: string[] = []
    for (const parent of new Set([os.tmpdir(), '/var/tmp', '/run', '/dev/shm'])) {
      try {
        loaded.exports = loadFrom(parent, addon)
        return loaded.exports
      } catch (error) {
        refusals.push(`${parent}: ${(error as Error).message}`)
      }
    }
    throw new Error(`load SQLite: no folder to run it from; set TMPDIR to one not mounted noexec (${refusals.join('; ')})`)
  }

  // The relay of port-forward runs `node --max-semi-space-size=1 -e CODE PORT`, with this executable for Node.
  const [, , flag, word, code] = process.argv
  if (flag === '--max-semi-space-size=1' && word === '-e' && code !== undefined) {
    process.argv.splice(1, 4)
    new Function('require', code)(load)
    return undefined
  }
  // A fifth of a resting agent's own memory. A server would pay for it with every third object it makes; an agent makes few, and what is hot
  // there is compiled all the same.
  if (process.argv[2] === 'agent') (load('node:v8') as typeof import('node:v8')).setFlagsFromString('--optimize-for-size')
  // The roles need it anyway, and with it comes the setting of malloc: the earlier, the less is kept.
  if (process.argv[2] === 'server' || process.argv[2] === 'agent') loadAddon()
  return (id: string): unknown => (id.endsWith('/node_sqlite3.node') ? loadAddon() : load(id))
}
