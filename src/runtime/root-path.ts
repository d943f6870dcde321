// Paths inside an image that is not entered yet: links are followed as the program inside would follow them, never out of the root.

import { lstat, mkdir, readlink, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isMissing } from './record.ts'

/** As the kernel's MAXSYMLINKS. */
const LINKS_MAX = 40

const kindOf = async (path: string): Promise<'link' | 'folder' | 'file' | undefined> => {
  try {
    const found = await lstat(path)
    return found.isSymbolicLink() ? 'link' : found.isDirectory() ? 'folder' : 'file'
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** The real path below `root` that `path` means inside it; parts that do not exist stay as they are written. */
export const resolveInRoot = async (root: string, path: string): Promise<string> => {
  const rest = path.split('/')
  const done: string[] = []
  let links = 0
  while (rest.length > 0) {
    const part = rest.shift() ?? ''
    if (part === '' || part === '.') continue
    if (part === '..') {
      done.pop()
      continue
    }
    const here = join(root, ...done, part)
    if ((await kindOf(here)) !== 'link') {
      done.push(part)
      continue
    }
    if (++links > LINKS_MAX) throw new Error(`resolve ${path}: too many links`)
    const target = await readlink(here)
    if (target.startsWith('/')) done.length = 0
    rest.unshift(...target.split('/'))
  }
  return join(root, ...done)
}

/** Makes the place a mount needs: a folder for a folder, an empty file for a file. */
export const makeMountPoint = async (root: string, destination: string, source: string | undefined): Promise<string> => {
  const target = await resolveInRoot(root, destination)
  const folder = source === undefined || (await stat(source)).isDirectory()
  await mkdir(folder ? target : dirname(target), { recursive: true })
  if (!folder && (await kindOf(target)) === undefined) await writeFile(target, '')
  return target
}

const isProgram = async (path: string): Promise<boolean> => {
  try {
    const found = await stat(path)
    return found.isFile() && (found.mode & 0o111) !== 0
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** True when a command would be found: by its path (relative to `cwd`) or on PATH, inside the root. */
export const hasProgram = async (root: string, command: string, cwd: string, path: string): Promise<boolean> => {
  const places = command.includes('/')
    ? [command.startsWith('/') ? command : join(cwd, command)]
    : path.split(':').map(dir => join(dir || '.', command))
  for (const place of places) if (await isProgram(await resolveInRoot(root, place))) return true
  return false
}
