// The fake runtime: promises around a FakeDevice, so that whoever uses a Runtime can be tested without one. Passes the contract suite.

import { PassThrough } from 'node:stream'
import type { FakeDevice } from './fake-device.ts'
import type { Runtime } from './runtime.ts'

/** Opening several on one device is what agent restarts are: each sees what the others left. */
export const openFakeRuntime = (device: FakeDevice): Runtime => {
  const cancels: (() => void)[] = []
  const find = (id: string) => device.inspect().containers.find(container => container.id === id)
  return {
    name: 'fake',
    version: 'fake://1',
    isolatesNetwork: true,
    inspect: async () => device.inspect(),
    createSandbox: async spec => device.createSandbox(spec),
    removeSandbox: async uid => device.removeSandbox(uid),
    startContainer: spec =>
      new Promise((resolve, reject) => {
        device.start(spec, result => ('info' in result ? resolve(result.info) : reject(new Error(result.error))))
      }),
    stopContainer: (id, graceMs) => new Promise(resolve => device.stop(id, graceMs, resolve)),
    async removeContainer(id) {
      if (!device.remove(id)) throw new Error(`remove container: ${id} is running`)
    },
    async exec(id, command, options) {
      if (find(id)?.state !== 'running') throw new Error(`exec: container ${id} is not running`)
      const stdout = new PassThrough()
      stdout.end(`${command.join(' ')}\n`)
      return {
        exitCode: Promise.resolve(0),
        stdin: options.stdin ? new PassThrough().resume() : undefined,
        stdout,
        stderr: options.tty ? undefined : new PassThrough().end(),
        resize: () => undefined,
        kill: () => stdout.destroy(),
      }
    },
    usage: async id => (find(id)?.state === 'running' ? { memoryBytes: 1024 * 1024, cpuNanos: 1_000_000 } : undefined),
    onExit: fn => void cancels.push(device.onExit(fn)),
    reopenLog: () => Promise.resolve(),
    async close() {
      for (const cancel of cancels.splice(0)) cancel()
    },
  }
}
