// Turns a program into an ExecSession, with or without a terminal of its own. A session is a process group: killing it kills what the
// program started and did not send away.

import { type ChildProcess, spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { constants } from 'node:os'
import { type Duplex, PassThrough, type Readable } from 'node:stream'
import type { Exec } from '../base/exec.ts'
import { type ExecPipes, openPipes } from './exec-pipes.ts'
import { COMMAND_TIMEOUT_MS } from './limits.ts'
import { signal } from './process-table.ts'
import type { ExecSession, TerminalSize } from './runtime.ts'

/** One word for a POSIX shell, whatever is in it. */
export const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

/** What programs on a terminal expect to find; an image's own word wins. Source: containerd's CRI plugin. */
export const terminalEnv = (env: readonly string[]): readonly string[] =>
  env.some(line => line.startsWith('TERM=')) ? env : [...env, 'TERM=xterm']

/** Says on descriptor 3 which process leads the terminal and what it is called, and waits for its size. */
const ANNOUNCE = 'echo "$$ $(tty)" >&3; read -r rows cols <&3; stty rows "$rows" cols "$cols" 2>/dev/null'

const FIRST_SIZE: TerminalSize = { rows: 24, columns: 80 }

/**
 * `script` gives a program a terminal; it takes one shell line, so every word is quoted. With `apart` the program's own error output, which
 * is not that of what it starts, goes to descriptor 3.
 */
const onTerminal = (script: string, command: readonly string[], apart: boolean): readonly string[] => [
  script,
  '-qfec',
  `${ANNOUNCE}; exec ${command.map(quote).join(' ')} ${apart ? '2>&3 ' : ''}3>&-`,
  '/dev/null',
]

export interface SessionOptions {
  readonly tty: boolean
  readonly stdin: boolean
  /** Absolute path that files of the session begin with. */
  readonly stem: string
  /** Whom the program's input and output belong to; this user when absent. */
  readonly owner?: { readonly uid: number; readonly gid: number }
  /** The whole environment; this process's own when absent. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Where the program makes a terminal of its own inside ours: that one, once it is there. */
  readonly innerTerminal?: () => Promise<string | undefined>
  /** Called with the size a terminal begins with, before the program starts. */
  readonly beforeStart?: (size: TerminalSize) => Promise<void>
}

export interface Session extends ExecSession {
  /** Nobody reads its output any more: whoever still writes it writes for nobody, and the end does not wait for them. */
  letGo(): void
}

type Place = Pick<SessionOptions, 'env' | 'cwd'>

const start = (command: readonly string[], place: Place, stdio: readonly ('ignore' | 'pipe' | number)[]): ChildProcess => {
  const [program = '', ...args] = command
  return spawn(program, args, {
    stdio: [...stdio],
    detached: true,
    ...(place.env === undefined ? {} : { env: { ...place.env } }),
    ...(place.cwd === undefined ? {} : { cwd: place.cwd }),
  })
}

/** The code, once the program has ended and everything it wrote has been read. 128 and the signal's number when a signal ended it. */
const exitCodeOf = (child: ChildProcess, program: string, outputs: readonly (Readable | undefined)[]): Promise<number> => {
  const read = outputs.map(output => new Promise<void>(resolve => (output ? output.once('close', resolve) : resolve())))
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', error => reject(new Error(`start ${program}: ${error.message}`, { cause: error })))
    child.on('exit', (code, by) => resolve(code ?? 128 + (by === null ? 9 : constants.signals[by])))
  })
  return ended.then(async code => {
    await Promise.all(read)
    return code
  })
}

const killGroup = (child: ChildProcess): void => {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) signal(-child.pid, 'SIGKILL')
}

const sameFile = async (one: string, other: string): Promise<boolean> => {
  const [a, b] = await Promise.all([stat(one), stat(other)])
  return a.dev === b.dev && a.ino === b.ino
}

/** Sizes set one after the other; of those that come meanwhile only the last counts. */
const createResizer = (exec: Exec, innerTerminal: SessionOptions['innerTerminal']) => {
  const state: { outer: string | undefined; wanted: TerminalSize | undefined; busy: boolean } = {
    outer: undefined,
    wanted: undefined,
    busy: false,
  }
  const set = async (outer: string, { rows, columns }: TerminalSize): Promise<void> => {
    const terminal = innerTerminal === undefined ? outer : await innerTerminal()
    // Before the program has its own terminal ours must be left alone: crun stumbles over a change while it starts.
    if (terminal === undefined || (innerTerminal !== undefined && (await sameFile(terminal, outer)))) return
    await exec.run('stty', ['-F', terminal, 'rows', `${rows}`, 'cols', `${columns}`], { timeoutMs: COMMAND_TIMEOUT_MS })
  }
  const settle = (): void => {
    const { outer, wanted } = state
    if (state.busy || outer === undefined || wanted === undefined) return
    state.busy = true
    state.wanted = undefined
    const again = (): void => {
      state.busy = false
      settle()
    }
    // A terminal that is gone has no size.
    set(outer, wanted).then(again, again)
  }
  return {
    resize(size: TerminalSize): void {
      state.wanted = size
      settle()
    },
    /** The terminal is there; returns the size it begins with. */
    begin(outer: string): TerminalSize {
      const size = state.wanted ?? FIRST_SIZE
      state.outer = outer
      state.wanted = undefined
      return size
    },
  }
}

/** What the terminal shows, and below it what the program around has to say; ends when both have. */
const merged = (shown: Readable, said: Readable): PassThrough => {
  const all = new PassThrough()
  const left = { count: 2 }
  const ended = (): void => {
    if (--left.count === 0) all.end()
  }
  shown.pipe(all, { end: false })
  shown.once('close', ended)
  // A terminal needs its carriage returns. crun shows what a short program left on its terminal as an error of its own, with a line end more.
  said.on(
    'data',
    (chunk: Buffer) =>
      void all.write(
        chunk
          .toString('latin1')
          .replace(/\r\n\n/g, '\n')
          .replace(/\r?\n/g, '\r\n'),
        'latin1',
      ),
  )
  said.once('close', ended)
  all.once('close', () => {
    shown.destroy()
    said.destroy()
  })
  return all
}

const startOnTerminal = (exec: Exec, command: readonly string[], options: SessionOptions): Session => {
  const script = exec.find('script')
  if (script === undefined) throw new Error('exec: a terminal needs the program script (util-linux)')
  // A terminal whose input is at its end would hang up: it gets a pipe that stays open instead.
  const words = onTerminal(script, command, options.innerTerminal !== undefined)
  const child = start(words, options, ['pipe', 'pipe', 'ignore', 'pipe'])
  const { stdin } = child
  const resizer = createResizer(exec, options.innerTerminal)
  const leader: { pid: number | undefined } = { pid: undefined }
  const side = child.stdio[3] as Duplex
  const said = new PassThrough()
  const stdout = merged(child.stdout ?? new PassThrough().end(), said)
  side.on('error', () => side.destroy())
  side.on('close', () => said.end())
  side.once('data', (chunk: Buffer) => {
    const [, pid, terminal = ''] = /^(\d+) (\S+)/.exec(chunk.toString()) ?? []
    leader.pid = pid === undefined ? undefined : Number(pid)
    const size = resizer.begin(terminal)
    const go = (): void => void side.write(`${size.rows} ${size.columns}\n`)
    // Without what it needs the program fails to start, and says so itself.
    Promise.resolve(options.beforeStart?.(size)).then(go, go)
    side.on('data', (words: Buffer) => void said.write(words))
  })
  stdin?.on('error', () => stdin.destroy())
  const exitCode = exitCodeOf(child, script, [stdout])
  return {
    exitCode,
    stdin: options.stdin ? (stdin ?? undefined) : undefined,
    stdout,
    stderr: undefined,
    resize: size => resizer.resize(size),
    letGo: () => stdout.destroy(),
    kill() {
      stdout.destroy()
      // The leader is of our making as long as `script` waits for it.
      if (leader.pid !== undefined && child.exitCode === null && child.signalCode === null) signal(-leader.pid, 'SIGKILL')
      killGroup(child)
    },
  }
}

const startPlain = (command: readonly string[], options: SessionOptions, pipes: ExecPipes | undefined): Session => {
  const child = start(command, options, pipes?.theirs ?? [options.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'])
  pipes?.handedOver()
  const stdin = (pipes ? pipes.stdin : child.stdin) ?? undefined
  const stdout: Readable = pipes?.stdout ?? child.stdout ?? new PassThrough().end()
  const stderr: Readable | undefined = pipes?.stderr ?? child.stderr ?? undefined
  stdin?.on('error', () => stdin.destroy())
  const exitCode = exitCodeOf(child, command[0] ?? '', [stdout, stderr])
  const letGo = (): void => {
    stdout.destroy()
    stderr?.destroy()
  }
  return {
    exitCode,
    stdin,
    stdout,
    stderr,
    resize: () => undefined,
    letGo,
    kill() {
      letGo()
      killGroup(child)
    },
  }
}

/** Starts `command`. Rejects when it has no means to; a program that is not there shows in the exit code. */
export const startSession = async (exec: Exec, command: readonly string[], options: SessionOptions): Promise<Session> =>
  options.tty ? startOnTerminal(exec, command, options) : startPlain(command, options, await openPipes(exec, options))
