// What an installation consists of, as data: files with their texts, links, folders, and the commands that make the service manager see
// them. Pure; the shell compares it with the tree and carries out what differs.

import type { Role } from '../../base/role-options.ts'
import { initScript, openRcScript } from './init-script.ts'
import type { InitSystem, InstalledLink } from './manifest.ts'
import { unitName, unitText } from './unit.ts'

export const PROGRAM = '/usr/local/bin/helio'
export const CONFIG_FOLDER = '/etc/heliopause'
export const configPath = (role: Role): string => `${CONFIG_FOLDER}/${role}.yaml`
/** Read by the agent while it belongs to no server; it overwrites the token in it once it has joined. */
export const SEED_PATH = `${CONFIG_FOLDER}/heliopause-seed.yaml`

export interface PlannedFile {
  readonly path: string
  readonly text: string
  readonly mode: number
  /** Holds a secret: neither shown nor compared by digest afterwards, since the program changes it. */
  readonly secret?: boolean
}

export interface InstallPlan {
  /** With their modes, outermost first. */
  readonly folders: readonly (readonly [path: string, mode: number])[]
  readonly files: readonly PlannedFile[]
  readonly links: readonly InstalledLink[]
}

export interface PlanOptions {
  readonly role: Role
  readonly init: InitSystem
  readonly dataDir: string
  readonly startsPods: boolean
  readonly configText: string
  /** Where to join with what; left out when no token was given. */
  readonly seed: { readonly server: string | undefined; readonly token: string } | undefined
  readonly launcher: string
  readonly systemdVersion: number
  readonly canNotify: boolean
  /** sysv alone: whether there are folders of run levels; busybox's init runs what is called S… in /etc/init.d instead. */
  readonly hasRunLevels: boolean
}

const RUN_LEVELS = { start: [2, 3, 4, 5], stop: [0, 1, 6] }

const seedText = ({
  server,
  token,
}: NonNullable<PlanOptions['seed']>): string => `# Written by helio install; the token is overwritten once it was used.
apiVersion: heliopause.io/v1
kind: DeviceSeed
${server === undefined ? '' : `server: ${JSON.stringify(server)}\n`}token: ${token}
`

/** The file that the service manager starts the role by, and the links that have it started at boot. */
const serviceOf = (options: PlanOptions): { readonly file: PlannedFile; readonly links: readonly InstalledLink[] } => {
  const { role, init } = options
  const name = `heliopause-${role}`
  const script = { role, program: PROGRAM, configFile: configPath(role) }
  if (init === 'systemd') {
    const path = `/etc/systemd/system/${unitName(role)}`
    return {
      file: { path, text: unitText({ ...options, ...script }), mode: 0o644 },
      links: [{ path: `/etc/systemd/system/multi-user.target.wants/${unitName(role)}`, target: path }],
    }
  }
  const path = `/etc/init.d/${name}`
  if (init === 'openrc')
    return { file: { path, text: openRcScript(script), mode: 0o755 }, links: [{ path: `/etc/runlevels/default/${name}`, target: path }] }
  const file = { path, text: initScript(script), mode: 0o755 }
  if (!options.hasRunLevels) return { file, links: [{ path: `/etc/init.d/S99${name}`, target: name }] }
  return {
    file,
    links: [
      ...RUN_LEVELS.start.map(level => ({ path: `/etc/rc${level}.d/S99${name}`, target: `../init.d/${name}` })),
      ...RUN_LEVELS.stop.map(level => ({ path: `/etc/rc${level}.d/K01${name}`, target: `../init.d/${name}` })),
    ],
  }
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))

/** In the order in which they are to be written: what starts the role comes after everything it needs. */
export const planOf = (options: PlanOptions): InstallPlan => {
  const { role, dataDir, configText, seed, launcher } = options
  const service = serviceOf(options)
  return {
    folders: [
      // Plain users may run the program that lies below; what is secret in it has modes of its own.
      [dataDir, 0o711],
      [parentOf(PROGRAM), 0o755],
      [CONFIG_FOLDER, 0o755],
      [parentOf(service.file.path), 0o755],
      ...service.links.map(({ path }) => [parentOf(path), 0o755] as const),
    ],
    files: [
      { path: PROGRAM, text: launcher, mode: 0o755 },
      { path: configPath(role), text: configText, mode: 0o644 },
      ...(seed === undefined ? [] : [{ path: SEED_PATH, text: seedText(seed), mode: 0o600, secret: true }]),
      service.file,
    ],
    links: service.links,
  }
}

/** What makes the running service manager look, and what (re)starts the role; empty words for none. */
export const commandsOf = (
  init: InitSystem,
  role: Role,
): {
  readonly reload: readonly string[]
  readonly start: readonly string[]
  readonly restart: readonly string[]
  readonly stop: readonly string[]
  readonly isActive: readonly string[]
  readonly log: string
} => {
  const name = `heliopause-${role}`
  if (init === 'systemd')
    return {
      reload: ['systemctl', 'daemon-reload'],
      start: ['systemctl', 'start', unitName(role)],
      restart: ['systemctl', 'restart', unitName(role)],
      stop: ['systemctl', 'stop', unitName(role)],
      isActive: ['systemctl', 'is-active', '--quiet', unitName(role)],
      log: `journalctl -u heliopause-${role} -n 50`,
    }
  const service = init === 'openrc' ? (word: string) => ['rc-service', name, word] : (word: string) => [`/etc/init.d/${name}`, word]
  return {
    reload: [],
    start: service('start'),
    restart: service('restart'),
    stop: service('stop'),
    isActive: service('status'),
    log: `tail -n 50 /var/log/${name}.log`,
  }
}
