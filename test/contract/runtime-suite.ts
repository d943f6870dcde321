// What every runtime promises, written once and run on each. A harness brings the runtime and programs it can run.

import { readFileSync, watch } from 'node:fs'
import t from 'tap'
import type { ContainerInfo, ContainerSpec, Runtime, SandboxSpec } from '../../src/runtime/runtime.ts'

/** Programs by what they do. */
export interface Programs {
  exits(code: number): readonly string[]
  /** Prints the lines to standard output, one `err` to standard error, and ends. */
  prints(lines: readonly string[]): readonly string[]
  /** Prints `ready`, runs on until told; ends politely with 143 on SIGTERM. */
  runs: readonly string[]
  /** Prints `ready`, runs on and does not hear SIGTERM. */
  deaf: readonly string[]
  missing: readonly string[]
}

export interface Harness {
  /** Opens the runtime; a second time on the same device. */
  open(): Promise<Runtime>
  spec(change: Partial<ContainerSpec> & { readonly args: readonly string[] }): ContainerSpec
  readonly programs: Programs
  /** Output reaches the log. */
  readonly logs: boolean
}

export const sandboxSpec = (change: Partial<SandboxSpec> = {}): SandboxSpec => ({
  uid: '00000000-0000-4000-8000-0000000000aa',
  namespace: 'default',
  name: 'pod',
  hostname: 'pod',
  hostNetwork: false,
  hostPID: false,
  hostIPC: false,
  shareProcessNamespace: false,
  sysctls: {},
  ...change,
})

export const POD = sandboxSpec().uid

/** Settles with the container once its exit has been told. */
export const exitOf = (runtime: Runtime, id: () => string | undefined): Promise<ContainerInfo> =>
  new Promise(resolve => {
    runtime.onExit(container => {
      if (id() === undefined || container.id === id()) resolve(container)
    })
  })

/** Starts and waits for the exit to be told. */
export const runToEnd = async (runtime: Runtime, spec: ContainerSpec): Promise<ContainerInfo> => {
  const box: { id: string | undefined } = { id: `${spec.podUid}_${spec.name}_${spec.attempt}` }
  const exited = exitOf(runtime, () => box.id)
  await runtime.startContainer(spec)
  return exited
}

export const found = async (runtime: Runtime, id: string): Promise<ContainerInfo | undefined> =>
  (await runtime.inspect()).containers.find(container => container.id === id)

/** Log lines without their stamps; a line that came in parts (tag P) is put together. */
export const logLines = (path: string): readonly string[] => {
  const parts: Record<string, string> = {}
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .flatMap(line => {
      const [, stream = '', tag, text = ''] =
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) (\w+) ([FP]) (.*)$/.exec(line) ?? []
      const whole = (parts[stream] ?? '') + text
      parts[stream] = tag === 'P' ? whole : ''
      return tag === 'P' ? [] : [`${stream} F ${whole}`]
    })
}

/** Settles when the log holds the line. */
export const logged = (path: string, line: string): Promise<void> =>
  new Promise(resolve => {
    const watcher = watch(path)
    const look = (): void => {
      if (!logLines(path).includes(line)) return
      watcher.close()
      resolve()
    }
    watcher.on('change', look)
    look()
  })

export const runtimeSuite = (name: string, harness: Harness): Promise<void> =>
  t.test(`${name} keeps the contract`, async t => {
    const { programs } = harness
    const runtime = await harness.open()
    t.teardown(async () => {
      await runtime.removeSandbox(POD)
      await runtime.close()
    })

    await t.test('a container needs its sandbox', async t => {
      await t.rejects(runtime.startContainer(harness.spec({ args: programs.runs })), /has no sandbox/)
      const first = await runtime.createSandbox(sandboxSpec())
      t.same(await runtime.createSandbox(sandboxSpec()), first, 'making it again changes nothing')
      t.match((await runtime.inspect()).sandboxes, [{ uid: POD }])
    })

    await t.test('an exit is told once, with its code', async t => {
      const info = await runToEnd(runtime, harness.spec({ name: 'three', args: programs.exits(3) }))
      t.match(info, { podUid: POD, name: 'three', attempt: 0, state: 'exited', exit: { exitCode: 3, oomKilled: false } })
      t.equal(info.exit?.unknown, undefined)
      t.ok((info.exit?.finishedAtMs ?? 0) >= (info.startedAtMs ?? 1), 'it ends after it began')
      t.same(await found(runtime, info.id), info, 'inspect says the same')
    })

    await t.test('starting what was started before gives the same container', async t => {
      const spec = harness.spec({ name: 'twice', args: programs.runs })
      const [first, second] = [await runtime.startContainer(spec), await runtime.startContainer(spec)]
      t.equal(first.state, 'running')
      t.ok(first.pid)
      t.equal(second.pid, first.pid)
      await t.rejects(runtime.removeContainer(first.id), /is running/)
      await runtime.stopContainer(first.id, 0)
    })

    await t.test('a program that is not there is refused, and nothing stays behind', async t => {
      const spec = harness.spec({ name: 'missing', args: programs.missing })
      await t.rejects(runtime.startContainer(spec), { message: /start|create/ })
      t.equal(await found(runtime, `${POD}_missing_0`), undefined)
      t.equal((await runtime.startContainer({ ...spec, args: programs.runs })).state, 'running', 'the same attempt can be started again')
      await runtime.stopContainer(`${POD}_missing_0`, 0)
    })

    await t.test('stopping asks first', async t => {
      const { id, logPath } = await runtime.startContainer(harness.spec({ name: 'polite', args: programs.runs }))
      if (harness.logs) await logged(logPath, 'stdout F ready')
      await runtime.stopContainer(id, 20_000)
      t.equal((await found(runtime, id))?.exit?.exitCode, 143)
      await runtime.stopContainer(id, 20_000)
      t.pass('stopping again is no error')
    })

    await t.test('stopping kills after the grace', async t => {
      const { id, logPath } = await runtime.startContainer(harness.spec({ name: 'deaf', args: programs.deaf }))
      if (harness.logs) await logged(logPath, 'stdout F ready')
      await runtime.stopContainer(id, 50)
      t.equal((await found(runtime, id))?.exit?.exitCode, 137)
    })

    await t.test('a removed container is gone; removing it again is no error', async t => {
      await runtime.removeContainer(`${POD}_deaf_0`)
      await runtime.removeContainer(`${POD}_deaf_0`)
      t.equal(await found(runtime, `${POD}_deaf_0`), undefined)
    })

    await t.test('each start is a container of its own', async t => {
      const spec = harness.spec({ name: 'again', args: programs.exits(0) })
      await runToEnd(runtime, spec)
      await runToEnd(runtime, { ...spec, attempt: 1 })
      const attempts = (await runtime.inspect()).containers
        .filter(container => container.name === 'again')
        .map(container => container.attempt)
      t.same(attempts, [0, 1])
    })

    await t.test('output is in the log when the exit is told', { skip: harness.logs ? false : 'runs nothing that prints' }, async t => {
      const info = await runToEnd(runtime, harness.spec({ name: 'prints', args: programs.prints(['one', 'two', '']) }))
      t.same(
        logLines(info.logPath).filter(line => line.startsWith('stdout')),
        ['stdout F one', 'stdout F two', 'stdout F '],
      )
      t.same(
        logLines(info.logPath).filter(line => line.startsWith('stderr')),
        ['stderr F err'],
      )
    })

    await t.test('a second opening sees what runs, hears its exit and stops it', async t => {
      const { id, pid } = await runtime.startContainer(harness.spec({ name: 'survivor', args: programs.runs }))
      const other = await harness.open()
      t.equal((await found(other, id))?.pid, pid)
      const exited = exitOf(other, () => id)
      await other.stopContainer(id, 0)
      t.equal((await exited).exit?.exitCode, 137)
      await other.close()
    })

    await t.test('a command runs in a running container only', async t => {
      const { id } = await runtime.startContainer(harness.spec({ name: 'exec', args: programs.runs }))
      const session = await runtime.exec(id, ['echo', 'hello'], { tty: false, stdin: false })
      const chunks: Buffer[] = []
      for await (const chunk of session.stdout) chunks.push(Buffer.from(chunk))
      t.equal(Buffer.concat(chunks).toString().trim().split(' ').at(-1), 'hello')
      t.equal(await session.exitCode, 0)
      const killed = await runtime.exec(id, ['sleep', '1000'], { tty: false, stdin: false })
      killed.resize({ columns: 100, rows: 30 })
      killed.kill()
      killed.kill()
      t.type(await killed.exitCode, 'number', 'a command that nobody reads ends when it is killed')
      const usage = await runtime.usage(id)
      t.ok(usage === undefined || usage.memoryBytes > 0, 'what it uses is known or not, never nonsense')
      await runtime.stopContainer(id, 0)
      await t.rejects(runtime.exec(id, ['echo'], { tty: false, stdin: false }), /is not running/)
      t.equal(await runtime.usage(id), undefined)
    })

    await t.test('removing the sandbox ends and removes everything of the pod', async t => {
      await runtime.startContainer(harness.spec({ name: 'last', args: programs.deaf }))
      await runtime.removeSandbox(POD)
      t.same(await runtime.inspect(), { sandboxes: [], containers: [] })
      await runtime.removeSandbox(POD)
      t.pass('removing it again is no error')
    })
  }) as unknown as Promise<void>
