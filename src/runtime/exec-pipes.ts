// Named pipes between a program and us. Node's own pipes are sockets, and a program that opens /dev/stdout anew, as scripts do, cannot
// open a socket. The names are gone before the program starts. Source: fifo(7).

import { chownSync, closeSync, constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Exec } from '../base/exec.ts'

export interface ExecPipes {
  /** What the program gets as 0, 1 and 2. */
  readonly theirs: readonly (number | 'ignore')[]
  readonly stdin: Socket | undefined
  readonly stdout: Socket
  readonly stderr: Socket
  /** Closes the program's ends, once it has them. */
  handedOver(): void
}

export interface PipesRequest {
  /** Absolute path that the names begin with. */
  readonly stem: string
  readonly stdin: boolean
  /** Who else may open them anew; only root can say so. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

/** An end opened without waiting makes the other end open at once. */
const output = (path: string): { ours: Socket; theirs: number } => {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const theirs = openSync(path, constants.O_WRONLY)
  return { ours: new Socket({ fd, readable: true, writable: false }), theirs }
}

const input = (path: string): { ours: Socket; theirs: number } => {
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const theirs = openSync(path, constants.O_RDONLY)
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  closeSync(both)
  return { ours: new Socket({ fd, readable: false, writable: true }), theirs }
}

/** Makes the pipes of one session; undefined where the machine has no `mkfifo`. */
export const openPipes = async (exec: Exec, request: PipesRequest): Promise<ExecPipes | undefined> => {
  const mkfifo = exec.find('mkfifo')
  if (mkfifo === undefined) return undefined
  const paths = [...(request.stdin ? ['in'] : []), 'out', 'err'].map(name => `${request.stem}.${name}`)
  try {
    const made = await exec.run(mkfifo, ['-m', '600', ...paths])
    if (made.code !== 0) throw new Error(`make pipes: ${made.stderr.trim()}`)
    const { owner } = request
    if (owner !== undefined) for (const path of paths) chownSync(path, owner.uid, owner.gid)
    const [stdout, stderr] = [output(`${request.stem}.out`), output(`${request.stem}.err`)]
    const stdin = request.stdin ? input(`${request.stem}.in`) : undefined
    const theirs = [stdin?.theirs ?? ('ignore' as const), stdout.theirs, stderr.theirs]
    return {
      theirs,
      stdin: stdin?.ours,
      stdout: stdout.ours,
      stderr: stderr.ours,
      handedOver() {
        for (const fd of theirs) if (typeof fd === 'number') closeSync(fd)
      },
    }
  } finally {
    for (const path of paths) rmSync(path, { force: true })
  }
}
