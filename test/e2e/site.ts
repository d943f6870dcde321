// A site behind a bad link: a network namespace with a cable to this machine that can be cut, narrowed and made lossy. What is made here is
// removed here. Agents run in it; the server stays outside.

import { spawnSync } from 'node:child_process'
import { type Actor, SELF } from './cluster.ts'

const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`

const call = (command: string, args: readonly string[], input = ''): string => {
  const { status, stderr, stdout } = spawnSync(command, args, { encoding: 'utf8', input, env: { ...process.env, PATH } })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
  return stdout
}

export interface Site {
  /** The server's address as seen from the site. */
  readonly serverAddress: string
  /** The program, run inside. */
  readonly actor: Actor
  /** Words before a command that lead it inside the network alone: it keeps this machine's /sys, where control groups are. */
  readonly enter: readonly [string, ...string[]]
  /** Nobody is told: packets stop. */
  cut(): void
  heal(): void
  /** Both ways; for example `64kbit`. */
  narrow(rate: string): void
  /** Drops so many of a hundred packets, both ways. */
  lose(perCent: number): void
  /** Bytes that passed through the cable so far, both ways. */
  bytes(): number
  remove(): void
}

/** Why sites cannot be made here; undefined when they can. */
export const whyNoSites = (): string | undefined => {
  if (process.getuid?.() !== 0) return 'not root'
  const name = `helio-try-${process.pid}`
  if (spawnSync('ip', ['netns', 'add', name], { env: { ...process.env, PATH } }).status !== 0) return 'no network namespaces here'
  call('ip', ['netns', 'delete', name])
  return undefined
}

/** `number` is unique among the sites of one test run (0 to 200); the cable uses 10.218.NUMBER.0/24. */
export const makeSite = (number: number): Site => {
  const space = `helio-site-${process.pid}-${number}`
  const near = `hs${process.pid % 100_000}n${number}`
  const far = `hs${process.pid % 100_000}f${number}`
  const inside = (...args: string[]): string => call('ip', ['netns', 'exec', space, ...args])
  call('ip', ['netns', 'add', space])
  call('ip', ['link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', space])
  call('ip', ['addr', 'add', `10.218.${number}.1/24`, 'dev', near])
  call('ip', ['link', 'set', near, 'up'])
  for (const device of ['lo', far]) call('ip', ['-n', space, 'link', 'set', device, 'up'])
  call('ip', ['-n', space, 'addr', 'add', `10.218.${number}.2/24`, 'dev', far])
  const filter = (rule: string): void =>
    void call(
      'ip',
      ['netns', 'exec', space, 'nft', '-f', '-'],
      `table inet site\ndelete table inet site\ntable inet site {
        chain from { type filter hook input priority 0; policy accept; iifname "${far}" ${rule}
        }
        chain to { type filter hook output priority 0; policy accept; oifname "${far}" ${rule}
        }
      }\n`,
    )
  return {
    serverAddress: `10.218.${number}.1`,
    enter: ['nsenter', `--net=/run/netns/${space}`],
    actor: { command: 'ip', args: ['netns', 'exec', space, SELF.command, ...SELF.args] },
    cut: () => filter('drop'),
    heal() {
      filter('accept')
      for (const args of [
        ['qdisc', 'del', 'dev', near, 'root'],
        ['-n', space, 'qdisc', 'del', 'dev', far, 'root'],
      ])
        spawnSync('tc', args, { env: { ...process.env, PATH } })
    },
    narrow(rate) {
      const shape = ['root', 'tbf', 'rate', rate, 'burst', '4kb', 'latency', '1s']
      call('tc', ['qdisc', 'replace', 'dev', near, ...shape])
      inside('tc', 'qdisc', 'replace', 'dev', far, ...shape)
    },
    lose: perCent => filter(`numgen random mod 100 < ${perCent} drop`),
    bytes() {
      const read = (side: string): number => Number(call('cat', [`/sys/class/net/${near}/statistics/${side}_bytes`]))
      return read('rx') + read('tx')
    },
    remove: () => void call('ip', ['netns', 'delete', space]),
  }
}
