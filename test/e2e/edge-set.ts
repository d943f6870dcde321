// A set of edge-configs in a test: a copy with the addresses of the test in it, and its README as a list of commands that the test has to run,
// each as it stands there, in the network it is meant for.

import { cpSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CommandResult, type Running, run, runAs, SELF, startAs } from './cluster.ts'

const root = join(import.meta.dirname, '../..')

/** A machine of the set. */
export interface Place {
  readonly data: string
  /** Words that lead a command into its network; none for the machine that the test runs on. */
  readonly enter?: readonly [string, ...string[]]
}

export interface EdgeSet {
  /** The copy, in whose place the README says edge-configs/SET. */
  readonly folder: string
  /** Changes a file of the copy; throws when what is to be changed is not there. */
  change(file: string, from: string, to: string): void
  /** Runs a command of the README to its end. Words in capitals, such as POD, stand for what `words` says. */
  run(line: string, place: Place, words?: Readonly<Record<string, string>>): Promise<CommandResult>
  /** Runs it until it answers as it should; throws with its last answer when it never does. */
  ok(line: string, place: Place, words?: Readonly<Record<string, string>>): Promise<string>
  /** Starts a role as the README does; `more` are flags of the test alone. */
  start(line: string, place: Place, words: Readonly<Record<string, string>>, ...more: string[]): Promise<Running>
  /** Has every `helio install` of the README say what it would do to another root; rejects when one would fail. */
  rehearse(token: string): Promise<void>
  /** Commands of the README that were not run yet. */
  left(): string[]
}

/** The lines of all blocks marked `sh`. */
export const commandsOf = (readme: string): string[] =>
  [...readme.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].flatMap(([, block = '']) =>
    block
      .split('\n')
      .map(line => line.trim())
      .filter(Boolean),
  )

/** What the README calls by a short name. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  helio: [SELF.command, ...SELF.args],
  node: [process.execPath],
  wget: ['busybox', 'wget'],
}

/** Words as a shell takes them apart; of quotes it knows the double ones. */
const wordsOf = (line: string): string[] => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '')

/** `dir` is the test's own. */
export const openEdgeSet = (set: string, dir: string): EdgeSet => {
  const original = join(root, 'edge-configs', set)
  const folder = join(dir, 'edge-configs', set)
  cpSync(original, folder, { recursive: true })
  const commands = commandsOf(readFileSync(join(original, 'README.md'), 'utf8'))
  const left = new Set(commands)
  const change: EdgeSet['change'] = (file, from, to) => {
    const text = readFileSync(join(folder, file), 'utf8')
    if (!text.includes(from)) throw new Error(`${set}/${file} has no ${from}`)
    writeFileSync(join(folder, file), text.replaceAll(from, to))
  }
  const take = (line: string, place: Place, words: Readonly<Record<string, string>>): string[] => {
    if (!commands.includes(line)) throw new Error(`the README of ${set} does not say: ${line}`)
    left.delete(line)
    return wordsOf(line).map(word =>
      Object.entries(words)
        .reduce((text, [from, to]) => text.replaceAll(from, to), word)
        .replace(`edge-configs/${set}`, folder)
        .replace(/^scripts\//, `${root}/scripts/`)
        .replace(/^images\//, `${dir}/images/`)
        .replace(/^\/var\/lib\/heliopause/, place.data),
    )
  }
  const call = (words: readonly string[], { data, enter }: Place): Promise<CommandResult> => {
    const [program = '', verb = '', ...rest] = words
    const place = program === 'helio' ? ['--data-dir', data] : []
    const [command = '', ...args] = [...(enter ?? []), ...(PROGRAMS[program] ?? [program]), verb, ...place, ...rest]
    return run(command, args)
  }
  const runLine: EdgeSet['run'] = (line, place, words = {}) => call(take(line, place, words), place)
  return {
    folder,
    change,
    run: runLine,
    async ok(line, place, words) {
      const { code, stdout, stderr } = await runLine(line, place, words)
      if (code !== 0) throw new Error(`${line}: ended with ${code}: ${stderr.slice(-1500)}${stdout.slice(-500)}`)
      return stdout
    },
    start(line, place, words, ...more) {
      const args = [...take(line, place, words).slice(1), '--data-dir', place.data, ...more]
      const [command = '', ...before] = [...(place.enter ?? []), SELF.command]
      return startAs({ command, args: [...before, ...SELF.args] }, ...args)
    },
    async rehearse(token) {
      const other = join(dir, 'root')
      mkdirSync(join(other, 'usr/bin'), { recursive: true })
      // What the program that is installed needs to run there.
      symlinkSync(process.execPath, join(other, 'usr/bin/node'))
      writeFileSync(join(dir, 'token'), token, { mode: 0o600 })
      for (const line of commands.filter(each => each.startsWith('helio install '))) {
        const words = take(line, { data: '' }, {}).slice(1)
        const at = words.indexOf('token')
        if (at >= 0) words[at] = join(dir, 'token')
        const { code, stdout, stderr } = await runAs(SELF, [...words, '--dry-run', '--root', other])
        if (code !== 0 || !/would make +\/etc\/heliopause\/(server|agent)\.yaml/.test(stdout))
          throw new Error(`${line}: ${stderr}${stdout}`)
      }
    },
    left: () => [...left],
  }
}

/** Processes, mounts and links of pods that have to do with a folder; the links of the network that `enter` leads to. */
export const tracesOf = async (dir: string, enter: readonly [string, ...string[]]): Promise<string[]> => {
  const lines = (path: string): string[] => {
    try {
      return readFileSync(path, 'utf8').split(path.endsWith('cmdline') ? /$/ : '\n')
    } catch (error) {
      // It ended while it was looked for.
      if (error instanceof Error && 'code' in error) return []
      throw error
    }
  }
  const processes = globSync('/proc/[0-9]*/cmdline').flatMap(path => lines(path).filter(text => text.includes(dir)))
  const mounts = lines('/proc/self/mounts').filter(line => line.includes(dir))
  const [command, ...args] = enter
  const { stdout } = await run(command, [...args, 'ip', '-o', 'link'])
  const links = stdout.split('\n').filter(line => /^\d+: he/.test(line))
  return [...processes.map(text => text.replaceAll('\0', ' ')), ...mounts, ...links]
}
