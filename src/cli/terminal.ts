// This end's standard input, output and terminal, joined to a command elsewhere. A terminal is raw meanwhile: every key goes there.

import type { CliStream } from './cli.ts'
import type { RemoteSession } from './remote-command.ts'
import type { VerbContext } from './verb.ts'

interface RawInput {
  readonly isTTY?: boolean
  setRawMode?(raw: boolean): unknown
}

const sizeOf = (stdout: CliStream & { readonly rows?: number }): readonly [number, number] | undefined =>
  stdout.columns && stdout.rows ? [stdout.columns, stdout.rows] : undefined

/** Whether a terminal can be had here; says so when not. */
export const hasTerminal = (context: VerbContext): boolean => {
  if (context.deps.stdin.isTTY) return true
  context.output.note('Unable to use a TTY - input is not a terminal or the right kind of file')
  return false
}

/** Carries input and sizes until the command ends; settles with its exit code. */
export const joinTerminal = async (
  { deps }: VerbContext,
  session: RemoteSession,
  { stdin, tty }: { readonly stdin: boolean; readonly tty: boolean },
): Promise<number> => {
  const input = deps.stdin as typeof deps.stdin & RawInput
  const fail = (): void => session.close()
  const onData = (chunk: Buffer | string): void => {
    input.pause()
    session.write(Buffer.from(chunk)).then(() => input.resume(), fail)
  }
  const onEnd = (): void => session.endInput()
  const onResize = (): void => {
    const size = sizeOf(deps.stdout)
    if (size) session.resize(...size).catch(fail)
  }
  const raw = tty && input.isTTY === true
  try {
    if (raw) input.setRawMode?.(true)
    if (tty) {
      onResize()
      deps.stdout.on('resize', onResize)
    }
    if (stdin) {
      input.on('data', onData)
      input.on('end', onEnd)
      if (input.readableEnded) onEnd()
    }
    return await session.exitCode
  } finally {
    if (raw) input.setRawMode?.(false)
    deps.stdout.off('resize', onResize)
    input.off('data', onData)
    input.off('end', onEnd)
    // After the last write has let go of it: a paused input does not keep the program alive.
    if (stdin) input.pause()
  }
}
