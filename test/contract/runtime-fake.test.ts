import { seededRandom } from '../../src/base/random.ts'
import { systemClock } from '../../src/host/clock.ts'
import { openFakeRuntime } from '../../src/runtime/fake.ts'
import { createFakeDevice } from '../../src/runtime/fake-device.ts'
import { busyboxSpec } from './runtime-busybox.ts'
import { runtimeSuite } from './runtime-suite.ts'

const device = createFakeDevice({
  clock: systemClock,
  random: seededRandom('contract'),
  program: ({ args: [verb, value] }) => ({
    startMs: 1,
    stopMs: 1,
    exitCode: Number(value ?? 143),
    ignoresTerm: verb === 'deaf',
    ...(verb === 'exit' ? { exitAfterMs: 2 } : {}),
    ...(verb === 'missing' ? { startError: 'start container: no such program' } : {}),
  }),
})

await runtimeSuite('fake', {
  open: async () => openFakeRuntime(device),
  spec: change => busyboxSpec({ layers: [], logPath: '/nowhere', ...change }),
  programs: { exits: code => ['exit', `${code}`], prints: () => ['exit', '0'], runs: ['run'], deaf: ['deaf'], missing: ['missing'] },
  logs: false,
})
