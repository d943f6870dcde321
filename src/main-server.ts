// The server role: concrete clock, entropy, keys and files; the control plane, and an agent beside it joined over loopback.

import { existsSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import { join, resolve } from 'node:path'
import { clockWithFloor } from './base/clock-floor.ts'
import { messageOf } from './base/errors.ts'
import { systemClock } from './host/clock.ts'
import { systemExec } from './host/exec.ts'
import { systemFiles } from './host/files.ts'
import { jsonLog, type LogLevel } from './host/log.ts'
import { openNotifier } from './host/notify.ts'
import { systemPki } from './host/pki.ts'
import { systemRandom } from './host/random.ts'
import { openByteSealer } from './host/seal.ts'
import { isMqttUrl } from './main-link.ts'
import { complain, explain, heedSignals, readRole, socketGroupsOf, untilStopped, VERSION } from './main-options.ts'

const ownAddresses = (): string[] =>
  Object.values(networkInterfaces())
    .flatMap(entries => entries ?? [])
    .filter(entry => !entry.internal && !entry.address.startsWith('fe80:') && !entry.address.startsWith('169.254.'))
    .map(entry => entry.address)

/** The agent beside it keeps the key it has; one that has none yet shares the file that was named. */
const deviceKeyFileOf = (dataDir: string, named: unknown): string | undefined =>
  named === undefined || existsSync(join(dataDir, 'device.key')) ? undefined : resolve(String(named))

export const runServer = async (argv: readonly string[]): Promise<number> => {
  const options = await readRole('server', argv)
  if (typeof options === 'number') return options
  const mqttBroker = options['mqttBroker'] === undefined ? undefined : String(options['mqttBroker'])
  if (mqttBroker !== undefined && !isMqttUrl(mqttBroker)) {
    complain(
      `--mqtt-broker: ${JSON.stringify(mqttBroker)} is not mqtts://HOST:PORT`,
      'for example --mqtt-broker mqtts://broker.example:8883',
    )
    return 2
  }
  const log = jsonLog(options['logLevel'] as LogLevel)
  const dataDir = String(options['dataDir'])
  // Certificates made by a server that woke up in 1970 would be good for nobody.
  const clock = clockWithFloor(systemClock, Date.parse(VERSION.buildDate))
  const wrong = clock.complaint()
  if (wrong !== undefined) log.error(wrong, { hint: 'set the clock: people’s certificates may be refused until then; devices are not' })
  const deps = { clock, random: systemRandom, log, files: systemFiles, pki: systemPki }
  const notifier = openNotifier({ exec: systemExec, clock: systemClock, log, pid: process.pid }, process.env)
  const probes: (() => Promise<void>)[] = []
  const closers: (() => Promise<void>)[] = []
  const early = { came: () => false }
  const close = async (): Promise<void> => {
    for (const each of closers.reverse()) await each()
  }
  const { agentHealth, allHealthy, openTrial, serverHealth } = await import('./main-trial.ts')
  const trial = openTrial('server', log)
  try {
    const { startServer } = await import('./server/server.ts')
    const sealing = openByteSealer(systemFiles, resolve(String(options['secretKeyFile'] ?? join(dataDir, 'server.key'))))
    const server = await startServer(
      { ...deps, sealing },
      {
        dataDir,
        bind: String(options['bind']),
        port: Number(options['port']),
        mqttPort: Number(options['mqttPort'] ?? 0),
        ...(mqttBroker === undefined ? {} : { mqttBroker: mqttBroker.replace(/\/$/, '') }),
        clusterCIDR: String(options['clusterCidr']),
        // Addresses come and go with networks; only those of a server that listens beyond loopback belong into its certificate.
        altNames: [hostname(), ...(options['bind'] === '127.0.0.1' ? [] : ownAddresses())],
        version: VERSION,
      },
    )
    closers.push(() => server.close())
    probes.push(() => server.probe())
    early.came = heedSignals()
    process.stdout.write(`ready ${server.url}\n`)
    if (options['noAgent'] !== true) {
      const { deviceClock, startDevice } = await import('./main-agent.ts')
      // A clock of its own: one that is told its own time would never come back from a wrong one.
      const agent = await startDevice(
        { log, clock: deviceClock() },
        {
          dataDir,
          server: server.url,
          token: server.joinToken,
          nodeName: options['nodeName'] as string | undefined,
          runtime: String(options['runtime']),
          socketGroups: socketGroupsOf(options),
          secretKeyFile: deviceKeyFileOf(dataDir, options['secretKeyFile']),
        },
      )
      closers.push(() => agent.close())
      probes.push(() => agent.probe())
    }
    void notifier.ready(`answers at ${server.url}`)
    notifier.feed(() => Promise.allSettled(probes.map(probe => probe())))
    trial.ready(allHealthy([serverHealth(dataDir, server.url), ...(options['noAgent'] === true ? [] : [agentHealth(dataDir)])]))
  } catch (error) {
    await close().catch((closing: unknown) => complain(`stop: ${messageOf(closing)}`))
    return explain(error)
  }
  return untilStopped(() => {
    notifier.stopping()
    trial.stop()
    return close()
  }, early.came)
}
