// Pods' streams on their way to a device: which device, in which words, and what is said when it is away.

import t from 'tap'
import type { KubeObject } from '../../../src/base/object.ts'
import type { LinkStream, StreamRequest } from '../../../src/link/link.ts'
import { createPodStreams, silenceText } from '../../../src/server/streams.ts'

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'shop', name: 'web', uid: 'u1' },
  spec: { nodeName: 'far', containers: [{ name: 'web' }] },
} as unknown as KubeObject

t.test('a request names the pod, its uid and what is wanted', async t => {
  const asked: [string, StreamRequest][] = []
  const streams = createPodStreams({
    contact: () => ({ connected: true, silentMs: 0 }),
    openStream: async (device, request) => {
      asked.push([device, request])
      return {} as LinkStream
    },
  })
  const target = { namespace: 'shop', pod: 'web', uid: 'u1' }
  await streams.open({ do: 'exec', pod, container: 'web', command: ['ls', '-l'], tty: true, stdin: false })
  await streams.open({ do: 'attach', pod, container: 'web', stdin: true })
  await streams.open({ do: 'portForward', pod, port: 80 })
  t.same(asked, [
    ['far', { do: 'exec', ...target, container: 'web', stdin: false, command: ['ls', '-l'], tty: true }],
    ['far', { do: 'attach', ...target, container: 'web', stdin: true }],
    ['far', { do: 'portForward', ...target, port: 80 }],
  ])
})

t.test('a device that is away is named, with when it was seen', async t => {
  const away = (silentMs: number | undefined) =>
    createPodStreams({
      contact: () => (silentMs === undefined ? undefined : { connected: false, silentMs }),
      openStream: () => Promise.reject(new Error('not asked')),
    })
  const wanted = { reason: 'ServiceUnavailable', message: 'pod web cannot be reached: node far is not connected, last seen 2h1m ago' }
  t.throws(() => away(7_260_000).check(pod), wanted)
  await t.rejects(away(7_260_000).open({ do: 'portForward', pod, port: 80 }), wanted)
  t.throws(() => away(undefined).check(pod), /has not been seen since the server started/)
})

t.test('a silence in its two largest units', async t => {
  t.same([0, 999, 5000, 65_000, 3_600_000, 90_061_000].map(silenceText), ['0s', '0s', '5s', '1m5s', '1h', '1d1h'])
})
