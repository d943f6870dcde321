// The options of the two long-running roles as tables: what their flags, HELIO_* variables and configuration files may say. `helio install`
// takes the same ones. Pure data. CONVENTIONS 16.

import type { Option } from './options.ts'

export const DATA_DIR_DEFAULT = '/var/lib/heliopause'
const LEVELS = ['error', 'info', 'debug']

const SHARED: readonly Option[] = [
  { flag: 'data-dir', type: 'text', default: DATA_DIR_DEFAULT, value: 'DIR', describe: 'where everything is kept' },
  { flag: 'node-name', type: 'text', value: 'NAME', describe: 'name of this machine in the cluster (default: its host name)' },
  { flag: 'runtime', type: 'text', choices: ['auto', 'crun', 'process', 'cri'], default: 'auto', describe: 'how pods run' },
  { flag: 'config', type: 'text', value: 'FILE', describe: 'configuration manifest; flags and HELIO_* variables win over it' },
  { flag: 'log-level', type: 'text', choices: LEVELS, default: 'info', describe: 'what goes to standard error' },
  { flag: 'socket-group', type: 'text', value: 'GROUP', describe: 'whose members may ask the agent on this machine (helio device)' },
  { flag: 'operator-group', type: 'text', value: 'GROUP', describe: 'whose members may also hold, resume, restart and exec there' },
]

export const SERVER_OPTIONS: readonly Option[] = [
  ...SHARED,
  { flag: 'bind', type: 'text', default: '127.0.0.1', value: 'ADDRESS', describe: 'address the API listens on' },
  { flag: 'port', type: 'port', default: 6443, value: 'PORT', describe: 'port of the API and of the link' },
  { flag: 'no-agent', type: 'switch', default: false, describe: 'run the control plane alone' },
  {
    flag: 'cluster-cidr',
    type: 'text',
    default: '10.42.0.0/16',
    value: 'RANGE',
    describe: 'addresses of pods; each node gets a /24 of it',
  },
  { flag: 'mqtt-port', type: 'port', value: 'PORT', describe: 'port of the MQTT 5 endpoint for devices, 8883 as a rule (default: none)' },
  {
    flag: 'mqtt-broker',
    type: 'text',
    value: 'URL',
    describe: 'mqtts://HOST:PORT of a broker through which devices come in too; see helio broker',
  },
  {
    flag: 'secret-key-file',
    type: 'text',
    value: 'FILE',
    describe: 'key of the Secrets on disk (default: DIR/server.key); keep it where a thief of DIR or of its backups has it not',
  },
]

export const AGENT_OPTIONS: readonly Option[] = [
  ...SHARED,
  { flag: 'server', type: 'text', value: 'URL', describe: 'https://HOST:6443; may be left out once the device has joined' },
  { flag: 'token', type: 'text', value: 'TOKEN', describe: 'join token of the server; only needed to join' },
  {
    flag: 'seed',
    type: 'text',
    value: 'FILE',
    describe:
      'who this device is and where to join, until it has (default: heliopause-seed.yaml in /boot/firmware, /boot or /etc/heliopause)',
  },
  {
    flag: 'secret-key-file',
    type: 'text',
    value: 'FILE',
    describe: 'key of the state on disk (default: DIR/device.key); put it where a thief of DIR has it not',
  },
  {
    flag: 'link',
    type: 'text',
    value: 'WAY',
    describe:
      'how to reach the server: ws, mqtt, or several in order, such as ws,mqtt (which auto means) (default: as its seed had it, or ws)',
  },
  {
    flag: 'profile',
    type: 'text',
    choices: ['lan', 'normal', 'metered'],
    default: 'lan',
    describe: 'what the link may cost, until helio device link --profile says otherwise',
  },
  {
    flag: 'mqtt-url',
    type: 'text',
    value: 'URL',
    describe: 'mqtts://HOST:PORT of the server (default: its host, and the port it told at joining or 8883)',
  },
  {
    flag: 'mqtt-broker',
    type: 'text',
    value: 'URL',
    describe: 'mqtts://HOST:PORT of a broker the server is at: --link mqtt goes there (default: the one told at joining)',
  },
]

export const ROLE_OPTIONS = { server: SERVER_OPTIONS, agent: AGENT_OPTIONS } as const
export type Role = keyof typeof ROLE_OPTIONS
/** `kind` of a role's configuration manifest. */
export const CONFIGURATION_KINDS: Readonly<Record<Role, string>> = { server: 'ServerConfiguration', agent: 'AgentConfiguration' }
