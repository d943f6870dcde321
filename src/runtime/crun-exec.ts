// A command run in a crun container. crun exec leaves its program behind when it is killed, so the program itself has to go, by the pid
// that crun writes down, with the process group crun gave it.

import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { compileProcess } from './bundle.ts'
import { type CrunPlace, cgroupOf, containerDir, crunArgs } from './crun-container.ts'
import { startSession, terminalEnv } from './exec-session.ts'
import { watchFolder } from './exits.ts'
import { isInCgroup, processGroup, signal } from './process-table.ts'
import { type ContainerRecord, readText } from './record.ts'
import type { ExecSession, TerminalSize } from './runtime.ts'

/** The pid file's number; undefined while there is none, or when it names nobody in this container. */
const programOf = async (place: CrunPlace, record: ContainerRecord, pidFile: string): Promise<number | undefined> => {
  const pid = Number((await readText(pidFile)) || Number.NaN)
  return Number.isInteger(pid) && pid > 1 && isInCgroup(pid, cgroupOf(place, record.spec)) ? pid : undefined
}

/** The program as soon as it is known; undefined when crun ended without. It may not have begun yet. */
const whenProgram = async (
  place: CrunPlace,
  record: ContainerRecord,
  pidFile: string,
  ended: Promise<unknown>,
): Promise<number | undefined> => {
  const state = { over: false, tell: (): void => undefined }
  const stop = watchFolder(containerDir(place, record.id), place.log, () => state.tell())
  const over = ended.then(() => {
    state.over = true
  })
  try {
    for (;;) {
      // Armed before the look.
      const change = new Promise<void>(resolve => {
        state.tell = resolve
      })
      const pid = await programOf(place, record, pidFile)
      if (pid !== undefined || state.over) return pid
      await Promise.race([change, over])
    }
  } finally {
    stop()
  }
}

const killProgram = (pid: number): void => {
  const group = processGroup(pid)
  signal(pid, 'SIGKILL')
  if (group !== undefined && group > 1) signal(-group, 'SIGKILL')
}

export interface CrunExecOptions {
  readonly tty: boolean
  readonly stdin: boolean
  /** Tells the commands of one agent apart. */
  readonly serial: number
}

/** Runs a command in a running container. */
export const execInContainer = async (
  place: CrunPlace,
  record: ContainerRecord,
  command: readonly string[],
  { tty, stdin, serial }: CrunExecOptions,
): Promise<ExecSession> => {
  const { id, spec } = record
  const stem = join(containerDir(place, id), `exec-${process.pid}-${serial}`)
  const description = compileProcess(tty ? { ...spec, env: terminalEnv(spec.env) } : spec, place.facts, { args: command, tty })
  // With the size inside, the program never sees a terminal without one.
  const describe = (size?: TerminalSize): Promise<void> => {
    const sized = size === undefined ? {} : { consoleSize: { height: size.rows, width: size.columns } }
    return writeFile(`${stem}.json`, JSON.stringify({ ...description, ...sized }), { mode: 0o600 })
  }
  if (!tty) await describe()
  const files = [...(tty ? ['--tty'] : []), `--process=${stem}.json`, `--pid-file=${stem}.pid`]
  const words = [place.crun, ...crunArgs(place), 'exec', ...files, id]
  const failed = (what: string) => (error: unknown) => place.log.error(what, { container: id, error: messageOf(error) })
  const clean = async (): Promise<void> => {
    await Promise.all([rm(`${stem}.json`, { force: true }), rm(`${stem}.pid`, { force: true })])
  }
  const state: { killed: boolean; ended: Promise<unknown> } = { killed: false, ended: Promise.resolve() }
  const program = (): Promise<number | undefined> => whenProgram(place, record, `${stem}.pid`, state.ended)
  const innerTerminal = async (): Promise<string | undefined> => {
    const pid = await program()
    return pid === undefined ? undefined : `/proc/${pid}/fd/0`
  }
  const options = { tty, stdin, stem, innerTerminal, beforeStart: describe, owner: { uid: spec.uid, gid: spec.gid } }
  const session = await startSession(place.exec, words, options).catch(async (error: unknown) => {
    await clean()
    throw error
  })
  state.ended = session.exitCode.then(clean, clean)
  state.ended.catch(failed('exec files stay'))
  return {
    ...session,
    kill() {
      if (state.killed) return
      state.killed = true
      session.letGo()
      // crun last: without it a program that begins only now would stay.
      program()
        .then(pid => {
          if (pid !== undefined) killProgram(pid)
          session.kill()
        })
        .catch(failed('exec session not killed'))
    },
  }
}
