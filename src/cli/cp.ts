// helio cp: files into and out of a container, by the container's own tar.

import { stat } from 'node:fs/promises'
import { basename, join, posix, resolve } from 'node:path'
import type { Client } from './client.ts'
import { Failure, usage } from './failure.ts'
import { packPath } from './pack.ts'
import { containerOf, podOf, requireRunning } from './pod-target.ts'
import { openRemote, type RemoteCommand, type RemoteHooks } from './remote-command.ts'
import { openUnpack } from './unpack.ts'
import type { Verb, VerbContext } from './verb.ts'

export interface CopyEnd {
  /** Undefined: on this machine. */
  readonly pod: string | undefined
  readonly namespace: string | undefined
  readonly path: string
}

/** `file`, `pod:file`, `namespace/pod:file`; what begins with a slash or a dot is a file. Pure. */
export const parseEnd = (word: string): CopyEnd => {
  const at = word.indexOf(':')
  if (at <= 0 || /^[./]/.test(word)) return { pod: undefined, namespace: undefined, path: word }
  const [first = '', second, ...more] = word.slice(0, at).split('/')
  if (more.length > 0 || second === '')
    throw usage(`cannot tell which pod is meant by ${JSON.stringify(word)}`, 'write POD:PATH or NAMESPACE/POD:PATH')
  const path = word.slice(at + 1)
  if (path === '') throw usage('the path in the container is empty', 'write POD:PATH')
  return second === undefined ? { pod: first, namespace: undefined, path } : { pod: second, namespace: first, path }
}

type Place = Pick<RemoteCommand, 'namespace' | 'pod' | 'container'>

interface Copying {
  readonly context: VerbContext
  readonly client: Client
  readonly place: Place
}

const start = (
  { context, client, place }: Copying,
  command: readonly string[],
  stdin: boolean,
  stdout: RemoteHooks['stdout'],
  quiet = false,
) =>
  openRemote(
    client,
    { what: 'exec', ...place, command, stdin, tty: false },
    { stdout, stderr: data => void (quiet || context.deps.stderr.write(data)), signal: context.signal },
  )

const check = (code: number, doing: string): void => {
  if (code !== 0)
    throw new Failure(`${doing}: the container's tar ended with code ${code}`, { hint: 'cp needs the program tar in the container' })
}

const upload = async (copying: Copying, from: string, to: string): Promise<void> => {
  const source = resolve(from)
  await stat(source).catch((cause: unknown) => {
    throw new Failure(`${from} doesn't exist in local filesystem`, { cause })
  })
  const isFolder = (await (await start(copying, ['test', '-d', to], false, () => undefined, true)).exitCode) === 0
  const target = isFolder || to.endsWith('/') ? posix.join(to, basename(source)) : to
  const [folder, name] = [posix.dirname(target), posix.basename(target)]
  const session = await start(copying, ['tar', '-xmf', '-', '-C', folder], true, () => undefined)
  const over = session.exitCode.then(
    () => true,
    () => true,
  )
  const archive = packPath(source, name, text => copying.context.output.note(`warning: ${text}`))
  try {
    for await (const chunk of archive as AsyncIterable<Buffer>) if ((await Promise.race([session.write(chunk), over])) === true) break
  } catch (error) {
    session.close()
    await over
    throw error
  }
  session.endInput()
  check(await session.exitCode, `copy ${from}`)
}

const isFolderHere = async (path: string): Promise<boolean> => {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return false
    throw error
  }
}

const download = async (copying: Copying, from: string, to: string): Promise<void> => {
  const path = posix.normalize(from).replace(/(.)\/+$/, '$1')
  const [folder, name] = [posix.dirname(path), posix.basename(path)]
  if (name === '..' || name === '') throw usage(`cannot copy ${JSON.stringify(from)}`, 'name the file or folder')
  const destination = (await isFolderHere(to)) && name !== '.' && name !== '/' ? join(resolve(to), name) : resolve(to)
  const root = path === '/' ? '.' : name
  const unpack = openUnpack({ destination, root, warn: text => copying.context.output.note(`warning: ${text}`) })
  const session = await start(copying, ['tar', '-cf', '-', '-C', folder, path === '/' ? '.' : name], false, data => unpack.write(data))
  const code = await Promise.race([session.exitCode, unpack.failed]).catch((error: unknown) => {
    session.close()
    throw error
  })
  check(code, `copy ${from}`)
  await unpack.end()
}

const run = async (context: VerbContext): Promise<void> => {
  const [first, second, ...more] = context.words
  if (first === undefined || second === undefined || more.length > 0)
    throw usage('expected two places', 'for example: cp web-5d4f-abcde:/etc/hosts .')
  const [from, to] = [parseEnd(first), parseEnd(second)]
  const remote = from.pod === undefined ? to : from
  if ((from.pod === undefined) === (to.pod === undefined))
    throw usage('one of the two must be in a container, the other here', 'write it as POD:PATH')
  const client = await context.client()
  const namespaced = remote.namespace === undefined ? context : { ...context, namespace: async () => remote.namespace ?? '' }
  const pod = await podOf(namespaced, client, remote.pod, 'cp web-5d4f-abcde:/etc/hosts .')
  requireRunning(pod, 'copy from or to')
  const place = { namespace: pod.metadata.namespace ?? '', pod: pod.metadata.name ?? '', container: containerOf(context, pod) }
  const copying: Copying = { context, client, place }
  if (from.pod === undefined) await upload(copying, from.path, to.path)
  else await download(copying, from.path, to.path)
}

export const verb: Verb = {
  name: 'cp',
  summary: 'copy files into and out of containers',
  usage: ['cp FILE POD:PATH [-c CONTAINER]', 'cp POD:PATH FILE [-c CONTAINER]', 'cp NAMESPACE/POD:PATH FILE'],
  connects: true,
  flags: [{ flag: 'container', short: 'c', type: 'text', value: 'NAME', describe: 'which container; it needs the program tar' }],
  examples: [
    ['a file out', 'cp web-5d4f-abcde:/etc/hosts hosts'],
    ['a folder in', 'cp page web-5d4f-abcde:/var/www'],
  ],
  run,
}
