// The systemd unit of a role as text, each directive with its reason. Pure: same options, same bytes. A control plane alone is closed in as
// far as Node.js allows; whatever starts containers hands its own limits on to them, so it gets only those that do not reach that far.
// Source: systemd.service(5), systemd.exec(5), systemd.resource-control(5), sd_notify(3).

import type { Role } from '../../base/role-options.ts'
import {
  MEMORY,
  RESTART_SECONDS,
  RESTART_SECONDS_MAX,
  RESTART_STEPS_SINCE,
  START_SECONDS_MAX,
  STOP_SECONDS_MAX,
  WATCHDOG_SECONDS,
} from './limits.ts'

export interface UnitOptions {
  readonly role: Role
  /** Whether pods are started from this process: an agent, or a server with one in it. */
  readonly startsPods: boolean
  readonly dataDir: string
  /** `/usr/local/bin/helio` */
  readonly program: string
  /** `/etc/heliopause/agent.yaml` */
  readonly configFile: string
  /** Of the systemd that will read it; 0 when not known. */
  readonly systemdVersion: number
  /** Whether `systemd-notify` is there: without it nobody can tell systemd of readiness and of signs of life. */
  readonly canNotify: boolean
}

type Line = readonly [reason: string, ...directives: string[]]

/** % starts a specifier and blanks end a word. */
const word = (text: string): string => {
  const plain = text.replaceAll('%', '%%')
  return /[\s"'\\]/.test(plain) ? `"${plain.replace(/(["\\])/g, '\\$1')}"` : plain
}

const unitLines = ({ role, dataDir }: UnitOptions): readonly Line[] => [
  ['', `Description=Heliopause ${role}`],
  [
    'Pods start with no network, so nothing here waits for one: never add network-online.target.\nnftables.service empties all tables when it starts: ours come after it. A boot partition, where a seed may lie, is not\npart of local-fs.target when it is mounted with nofail.',
    'After=local-fs.target boot.mount boot-firmware.mount nftables.service',
  ],
  ['Without its disk it would begin an empty state.', `RequiresMountsFor=${word(dataDir)}`],
  ['It is started again for ever: nobody is there to reset a unit that gave up.', 'StartLimitIntervalSec=0'],
]

const runLines = (options: UnitOptions): readonly Line[] => {
  const { role, program, configFile, canNotify, systemdVersion } = options
  return [
    canNotify
      ? [
          'Ready means: state open, pods looked after; not: server reached. Node.js cannot send datagrams, so a child process,\nsystemd-notify, speaks for it: hence "all".',
          'Type=notify',
          'NotifyAccess=all',
        ]
      : ['There is no systemd-notify here, so nobody can say that it is ready.', 'Type=exec'],
    ...(canNotify
      ? ([
          [
            'Shown while the event loop turns and the database answers. A hung process gets no second chance; pods do not notice.',
            `WatchdogSec=${WATCHDOG_SECONDS}`,
            'WatchdogSignal=SIGKILL',
          ],
        ] as const)
      : []),
    ['', `ExecStart=${word(program)} ${role} --config ${word(configFile)}`],
    ['A check of a large database on a slow card takes its time.', `TimeoutStartSec=${START_SECONDS_MAX}`],
    ['The role ends within 5 s.', `TimeoutStopSec=${STOP_SECONDS_MAX}`],
    [
      'Whatever ends it, it comes back. Calls to the server are spread by the link itself.',
      'Restart=always',
      `RestartSec=${RESTART_SECONDS}`,
      ...(systemdVersion >= RESTART_STEPS_SINCE ? ['RestartSteps=8', `RestartMaxDelaySec=${RESTART_SECONDS_MAX}`] : []),
    ],
    ['Only the role itself: containers and their monitors outlive it, and it finds them again.', 'KillMode=process'],
    [
      'Logs of the role are JSON lines on standard error; standard output has one line for people.',
      'StandardOutput=journal',
      'StandardError=journal',
    ],
  ]
}

const resourceLines = ({ startsPods, role }: UnitOptions): readonly Line[] => {
  const memory = MEMORY[role]
  return [
    [
      startsPods ? 'When memory runs out a pod goes first.' : 'When memory runs out others go first.',
      `OOMScoreAdjust=${startsPods ? -900 : -500}`,
    ],
    [
      'A leak ends in a restart, not in a dead board. Pods are not counted here: they have groups of their own.',
      `MemoryHigh=${memory.high}`,
      `MemoryMax=${memory.max}`,
    ],
    [
      startsPods
        ? 'A weight and counters make systemd keep the controllers that limits of pods need switched on at the root of the groups.'
        : 'So that a busy neighbour leaves it its turn.',
      'CPUWeight=200',
      ...(startsPods ? ['TasksAccounting=yes', 'IOAccounting=yes', 'Delegate=yes'] : []),
    ],
    [
      'Files: one for each connection. Tasks: the role, and programs it runs for a moment. A core would cost flash.',
      'LimitNOFILE=1048576',
      'TasksMax=4096',
      'LimitCORE=0',
    ],
  ]
}

/** What may surround containers: nothing of it is handed on, or what is handed on takes nothing that a container may ask for. */
const openLines = ({ role }: UnitOptions): readonly Line[] => [
  [
    `Not here, and why. PrivateTmp, PrivateDevices, PrivateMounts, ProtectSystem, ProtectHome, ProtectKernel*, ProtectControlGroups,
ReadWritePaths and their like give a mount namespace of its own: mounts of pods made in it are gone from sight at the next start of
this unit, and the pods with them. NoNewPrivileges, SystemCallFilter, RestrictAddressFamilies, RestrictNamespaces, RestrictRealtime,
RestrictSUIDSGID, LockPersonality, MemoryDenyWriteExecute, SystemCallArchitectures are inherited by every container: sudo and ping
in a pod, real-time threads of a controller, 32-bit images and unpacking of set-uid files would fail. Containers have their own
profile (seccomp, capabilities, no new privileges) from their pod's securityContext.`,
  ],
  [
    "A folder for temporary files that is nobody else's, without a namespace.",
    `RuntimeDirectory=heliopause-${role}`,
    'RuntimeDirectoryMode=0700',
    `Environment=TMPDIR=/run/heliopause-${role}`,
  ],
  [
    'No pod, not even a privileged one, has use for these.',
    'CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_PACCT CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_CONTROL CAP_AUDIT_READ',
  ],
  ['A keyring of its own, with no key of anybody else.', 'KeyringMode=private'],
]

const homeIsElsewhere = (dataDir: string): boolean => !/^\/(home|root|run\/user)(\/|$)/.test(dataDir)

const closedLines = ({ dataDir }: UnitOptions): readonly Line[] => [
  ['It writes below its data folder and nowhere else.', 'ProtectSystem=strict', `ReadWritePaths=${word(dataDir)}`, 'UMask=0077'],
  [
    'Temporary files, devices and hidden processes of its own.',
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'ProtectProc=invisible',
    'RemoveIPC=yes',
  ],
  homeIsElsewhere(dataDir)
    ? ['No business of a server.', 'ProtectHome=yes']
    : ['The data folder lies among the homes of users: they are shown, but cannot be written.', 'ProtectHome=read-only'],
  [
    'Clock, kernel and groups belong to the system.',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'ProtectKernelTunables=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelLogs=yes',
    'ProtectControlGroups=yes',
  ],
  [
    'Root in name only: ports below 1024 are all that is left of it.',
    'CapabilityBoundingSet=CAP_NET_BIND_SERVICE',
    'AmbientCapabilities=',
    'NoNewPrivileges=yes',
  ],
  ['TCP, the notify socket, and netlink to learn its own addresses.', 'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK'],
  ['', 'RestrictNamespaces=yes', 'RestrictRealtime=yes', 'RestrictSUIDSGID=yes', 'LockPersonality=yes', 'KeyringMode=private'],
  [
    'What services need and no more. Not MemoryDenyWriteExecute: V8 compiles as it runs.',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@privileged @resources @mount @swap @reboot',
    'SystemCallErrorNumber=EPERM',
  ],
]

const section = (name: string, lines: readonly Line[]): string =>
  `[${name}]\n${lines
    .map(([reason, ...directives]) =>
      [...(reason === '' ? [] : reason.split('\n').map(line => `# ${line}`)), ...directives].map(line => `${line}\n`).join(''),
    )
    .join('\n')}`

/** Name of a role's unit. */
export const unitName = (role: Role): string => `heliopause-${role}.service`

/** The whole unit file. */
export const unitText = (options: UnitOptions): string =>
  [
    `# Written by helio install; helio uninstall removes it. Changes belong into a drop-in: systemctl edit ${unitName(options.role)}\n`,
    section('Unit', unitLines(options)),
    section('Service', [
      ...runLines(options),
      ...resourceLines(options),
      ...(options.startsPods ? openLines(options) : closedLines(options)),
    ]),
    section('Install', [['', 'WantedBy=multi-user.target']]),
  ].join('\n')
