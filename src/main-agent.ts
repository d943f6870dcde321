// The agent role: concrete runtime, network, images and link; alone, or beside a server in one process.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Agent, startAgent } from './agent/agent.ts'
import { openImageStore } from './agent/images/image-store.ts'
import type { DeviceIdentity } from './agent/memory.ts'
import { hasPreload } from './agent/preload-folder.ts'
import { findSeed, SEED_PLACES } from './agent/seed.ts'
import { clockWithFloor, type FlooredClock } from './base/clock-floor.ts'
import { ApiError } from './base/errors.ts'
import type { Log } from './base/log.ts'
import type { OptionValues } from './base/options.ts'
import type { Sealer } from './base/sealer.ts'
import { systemClock } from './host/clock.ts'
import { systemExec } from './host/exec.ts'
import { hostFacts } from './host/facts.ts'
import { systemFiles } from './host/files.ts'
import { jsonLog, type LogLevel } from './host/log.ts'
import { openNotifier } from './host/notify.ts'
import { systemPki } from './host/pki.ts'
import { systemRandom } from './host/random.ts'
import { openSealer } from './host/seal.ts'
import type { ProfileName } from './link/link.ts'
import { openDeviceLink } from './link/transports/index.ts'
import { dialerOf, isMqttUrl, type LinkOptions, parseWays } from './main-link.ts'
import { complain, explain, heedSignals, nodeNameOf, readRole, socketGroupsOf, untilStopped, VERSION } from './main-options.ts'
import { allocateAddress, createNetwork } from './network/index.ts'
import { selectRuntime } from './runtime/index.ts'

export interface DeviceOptions {
  readonly dataDir: string
  readonly nodeName: string | undefined
  readonly runtime: string
  readonly server?: string | undefined
  readonly token?: string | undefined
  /** As the device's seed had it when left out, or WebSocket alone. */
  readonly link?: LinkOptions | undefined
  /** What the link may cost where nobody at the device has said. */
  readonly profile?: ProfileName
  /** Where a seed may lie; nowhere when left out. */
  readonly seedPlaces?: readonly string[]
  /** DIR/device.key when left out. */
  readonly secretKeyFile?: string | undefined
  /** Who besides root may use the device's socket. */
  readonly socketGroups?: { readonly readers?: string; readonly operators?: string }
}

/** The clock of a device: its own is never believed alone. */
export const deviceClock = (): FlooredClock => clockWithFloor(systemClock, Date.parse(VERSION.buildDate))

/** A device that has state starts without its key too: pods that run are looked after. One that has none is told before it makes any. */
const sealerFor = ({ dataDir, secretKeyFile }: DeviceOptions, log: Log): Sealer => {
  const file = secretKeyFile ?? join(dataDir, 'device.key')
  const { sealer, made, problem } = openSealer(systemFiles, file)
  if (problem !== undefined && !existsSync(join(dataDir, 'agent.db')))
    throw new ApiError('Forbidden', `open key file ${file}: ${problem}`, { hint: '--secret-key-file takes a file this user may make' })
  if (problem !== undefined)
    log.error('key of the state on disk cannot be used; what is kept from now on is lost at the next start', { file, problem })
  else if (made) log.info('key of the state on disk made', { file })
  return sealer
}

/** An orderly end; whoever keeps this role running starts it again. Pods are not asked. */
const endForAnew = (): void => void process.kill(process.pid, 'SIGTERM')

/** Starts the pods of this data folder, then looks for the server. */
export const startDevice = async (deps: { readonly log: Log; readonly clock: FlooredClock }, options: DeviceOptions): Promise<Agent> => {
  const { log, clock } = deps
  const { dataDir } = options
  const sealer = sealerFor(options, log)
  const facts = hostFacts(dataDir)
  const runtime = await selectRuntime(options.runtime as 'auto' | 'crun' | 'process', {
    exec: systemExec,
    clock,
    log,
    dir: join(dataDir, 'run'),
  })
  const agent = startAgent({
    dir: dataDir,
    nodeName: options.nodeName ?? nodeNameOf(facts.hostname),
    version: VERSION.gitVersion,
    runtime,
    network: createNetwork({ exec: systemExec, log, instance: dataDir }, runtime),
    allocateAddress,
    images: openImageStore(join(dataDir, 'images'), { clock, exec: systemExec, log }),
    clock,
    random: systemRandom,
    log,
    files: systemFiles,
    sealer,
    exec: systemExec,
    pki: systemPki,
    hostFacts: () => hostFacts(dataDir),
    openLink: (identity, hooks) =>
      openDeviceLink({
        ...hooks,
        device: identity.nodeName,
        clock: systemClock,
        random: systemRandom,
        log,
        dialer: dialerOf(identity, options.link ?? keptLink(identity)),
        verify: (text, signature) => systemPki.verify(identity.headKey, text, signature),
        sha256: systemPki.sha256,
      }),
    ...(options.server ? { join: { server: options.server, ...(options.token ? { token: options.token } : {}) } } : {}),
    ...(options.socketGroups ? { socketGroups: options.socketGroups } : {}),
    ...(options.profile ? { profile: options.profile } : {}),
    ...(options.link ? { linkWays: options.link.ways } : {}),
    ...(options.seedPlaces
      ? { seed: { places: options.seedPlaces, nameGiven: options.nodeName !== undefined, appeared: endForAnew } }
      : {}),
    pid: process.pid,
  })
  // A runtime left open would keep a process alive that has nothing to do.
  return agent.catch(async (error: unknown) => {
    await runtime.close()
    throw error
  })
}

/** What keeps a device that never joined from ever joining; undefined when it may try, or has something to run without. */
const whyNeverJoins = (
  dataDir: string,
  { server, token, seed }: OptionValues,
  places: readonly string[],
): { problem: string; hint: string } | undefined => {
  if (existsSync(join(dataDir, 'agent.db'))) return undefined
  if (findSeed(places) !== undefined) return undefined
  // A seed may be late.
  if (server === undefined && hasPreload(dataDir)) return undefined
  if (seed !== undefined) return { problem: `--seed: there is no file ${String(seed)}`, hint: 'make one with scripts/flash seeds' }
  if (typeof server !== 'string')
    return {
      problem: `agent: ${dataDir} has joined no server`,
      hint: 'give --server https://HOST:6443 and --token TOKEN once, or --seed FILE',
    }
  if (!/^https:\/\/[^/]+\/?$/.test(server))
    return { problem: `--server: ${JSON.stringify(server)} is not https://HOST:PORT`, hint: 'for example --server https://192.0.2.1:6443' }
  if (typeof token !== 'string' || !/^helio1\.[0-9a-f]{64}\.\S+$/.test(token))
    return {
      problem: typeof token === 'string' ? '--token: this is not a join token' : 'agent: --token is missing',
      hint: 'read it on the server: cat DIR/join-token',
    }
  return undefined
}

/** The ways that `--link` and `--mqtt-url` name, or what is wrong with them. */
const linkOptionsOf = ({ link = 'ws', mqttUrl, mqttBroker }: OptionValues): LinkOptions | { problem: string; hint: string } => {
  const ways = parseWays(String(link))
  if (!ways)
    return { problem: `--link: ${JSON.stringify(link)} is not a way to the server`, hint: 'ws, mqtt, auto, or a list such as mqtt,ws' }
  if (mqttBroker !== undefined)
    return isMqttUrl(String(mqttBroker))
      ? { ways, mqttBroker: String(mqttBroker) }
      : {
          problem: `--mqtt-broker: ${JSON.stringify(mqttBroker)} is not mqtts://HOST:PORT`,
          hint: 'for example --mqtt-broker mqtts://broker.example:8883',
        }
  if (mqttUrl === undefined) return { ways }
  return isMqttUrl(String(mqttUrl))
    ? { ways, mqttUrl: String(mqttUrl) }
    : { problem: `--mqtt-url: ${JSON.stringify(mqttUrl)} is not mqtts://HOST:PORT`, hint: 'for example --mqtt-url mqtts://192.0.2.1:8883' }
}

const asksForLink = ({ link, mqttUrl, mqttBroker }: OptionValues): boolean =>
  link !== undefined || mqttUrl !== undefined || mqttBroker !== undefined

/** As the seed had it; it was checked when it was read. */
const keptLink = ({ ways }: Pick<DeviceIdentity, 'ways'>): LinkOptions => {
  const link = linkOptionsOf({ ...ways })
  return 'problem' in link ? { ways: ['ws'] } : link
}

export const runAgent = async (argv: readonly string[]): Promise<number> => {
  const options = await readRole('agent', argv)
  if (typeof options === 'number') return options
  if (options['runtime'] === 'cri') {
    complain('--runtime cri is not in this version', 'leave the flag out')
    return 2
  }
  const link = asksForLink(options) ? linkOptionsOf(options) : undefined
  if (link && 'problem' in link) {
    complain(link.problem, link.hint)
    return 2
  }
  const seedPlaces = options['seed'] === undefined ? SEED_PLACES : [resolve(String(options['seed']))]
  const obstacle = whyNeverJoins(String(options['dataDir']), options, seedPlaces)
  if (obstacle) {
    complain(obstacle.problem, obstacle.hint)
    return 2
  }
  const notifier = openNotifier({ exec: systemExec, clock: systemClock, log: jsonLog('error'), pid: process.pid }, process.env)
  try {
    const clock = deviceClock()
    const dataDir = String(options['dataDir'])
    const log = jsonLog(options['logLevel'] as LogLevel, undefined, clock)
    const { agentHealth, openTrial } = await import('./main-trial.ts')
    const trial = openTrial('agent', log)
    const agent = await startDevice(
      { log, clock },
      {
        dataDir,
        nodeName: options['nodeName'] as string | undefined,
        runtime: String(options['runtime']),
        server: options['server'] as string | undefined,
        token: options['token'] as string | undefined,
        link,
        profile: options['profile'] as ProfileName,
        seedPlaces,
        socketGroups: socketGroupsOf(options),
        secretKeyFile: options['secretKeyFile'] as string | undefined,
      },
    )
    const came = heedSignals()
    process.stdout.write(`ready ${agent.nodeName}\n`)
    void notifier.ready(`${agent.nodeName}: pods are looked after`)
    notifier.feed(() => agent.probe())
    trial.ready(agentHealth(dataDir))
    return await untilStopped(() => {
      notifier.stopping()
      trial.stop()
      return agent.close()
    }, came)
  } catch (error) {
    return explain(error)
  }
}
