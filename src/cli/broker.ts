// helio broker: what an MQTT broker between server and devices must be told. Works on the server's folder; no server is asked.

import { isIP } from 'node:net'
import { messageOf } from '../base/errors.ts'
import { Failure, usage } from './failure.ts'
import { jsonText, yamlText } from './object-text.ts'
import { DATA_DIR_FLAG, outputFlag, type Verb, type VerbContext } from './verb.ts'

const HOST = /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/
/** It goes into a file of lines: no line break, and no blanks, which mosquitto would take for the end. */
const FOLDER = /^\/[^\s]*$/

const portOf = (context: VerbContext): number => {
  const port = context.flags.number('port') ?? 8883
  if (port < 1 || port > 65_535) throw usage(`invalid value ${port} for --port: 1 to 65535`)
  return port
}

const config = async (context: VerbContext): Promise<void> => {
  const { deps, flags, output } = context
  const out = flags.text('out')
  if (out === undefined)
    throw usage('say where to: --out FOLDER', 'helio broker config --out /etc/mosquitto/heliopause --host broker.example')
  const host = flags.text('host') ?? 'localhost'
  if (isIP(host) === 0 && !HOST.test(host)) throw usage(`invalid value ${JSON.stringify(host)} for --host: not a host name or address`)
  const bind = flags.text('bind')
  if (bind !== undefined && isIP(bind) === 0) throw usage(`invalid value ${JSON.stringify(bind)} for --bind: not an address`)
  const folder = flags.text('folder')
  for (const path of [folder, out.startsWith('/') ? out : undefined])
    if (path !== undefined && !FOLDER.test(path)) throw usage(`${JSON.stringify(path)} must be an absolute path without blanks`)
  const port = portOf(context)
  const files = await deps.writeBrokerFiles(context.dataDir, out, { host, port, bind, folder }).catch((cause: unknown) => {
    const hint = cause instanceof Error && 'hint' in cause && typeof cause.hint === 'string' ? cause.hint : undefined
    throw new Failure(`write broker files: ${messageOf(cause)}`, { cause, hint })
  })
  const form = flags.text('output')
  const url = `mqtts://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  if (form === 'json') return output.write(jsonText({ url, files }))
  if (form === 'yaml') return output.write(await yamlText({ url, files }))
  for (const file of files) await output.line(file)
  return output.note(`Start the broker with mosquitto.conf, and server and devices with --mqtt-broker ${url}`)
}

const run = async (context: VerbContext): Promise<void> => {
  const [word, ...more] = context.words
  if (word !== 'config' || more.length > 0) throw usage('say what: broker config', 'helio broker config --out FOLDER')
  return config(context)
}

export const verb: Verb = {
  name: 'broker',
  summary: 'write the configuration of an MQTT broker for this cluster',
  usage: ['broker config --out FOLDER [--host NAME] [--port N]'],
  subverbs: ['config'],
  connects: false,
  flags: [
    { flag: 'out', type: 'text', value: 'FOLDER', describe: 'where to write mosquitto.conf, the rules, certificates and the key' },
    { flag: 'host', type: 'text', value: 'NAME', default: 'localhost', describe: 'name or address by which the broker is reached' },
    { flag: 'port', type: 'number', value: 'N', default: '8883', describe: 'port the broker listens on' },
    { flag: 'bind', type: 'text', value: 'ADDRESS', describe: 'address the broker listens on (default: all)' },
    { flag: 'folder', type: 'text', value: 'PATH', describe: 'where the files will lie on the broker’s machine (default: --out)' },
    DATA_DIR_FLAG,
    outputFlag(['json', 'yaml']),
  ],
  examples: [['for a broker on another machine', 'broker config --out files --host broker.example --folder /etc/mosquitto/heliopause']],
  run,
}
