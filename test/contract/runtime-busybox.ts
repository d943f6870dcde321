// A tiny root file system of one static program, and container specs on it, for runtimes that really run something.

import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { systemExec } from '../../src/host/exec.ts'
import type { ContainerSpec } from '../../src/runtime/runtime.ts'
import type { Programs } from './runtime-suite.ts'
import { POD } from './runtime-suite.ts'

const APPLETS =
  'sh sleep id cat echo ls touch dd tail hostname unshare ulimit mkdir rm grep wc ps mount kill tty stty true env pwd date'.split(' ')

export const hasBusybox = (): boolean => systemExec.find('busybox') !== undefined

/** Makes the layer in `dir` and returns its path. */
export const makeBusyboxLayer = (dir: string): string => {
  const layer = join(dir, 'layer')
  for (const folder of ['bin', 'etc', 'tmp', 'data']) mkdirSync(join(layer, folder), { recursive: true })
  const busybox = systemExec.find('busybox')
  if (busybox === undefined) throw new Error('busybox (busybox-static) is needed')
  copyFileSync(busybox, join(layer, 'bin/busybox'))
  for (const applet of APPLETS) symlinkSync('busybox', join(layer, 'bin', applet))
  return layer
}

export const busyboxSpec = (change: Partial<ContainerSpec> & Pick<ContainerSpec, 'layers' | 'logPath' | 'args'>): ContainerSpec => ({
  podUid: POD,
  namespace: 'default',
  podName: 'pod',
  name: 'main',
  attempt: 0,
  init: false,
  image: 'busybox',
  imageID: 'sha256:0',
  env: ['PATH=/bin', 'GREETING=hello'],
  cwd: '/',
  uid: 0,
  gid: 0,
  supplementalGroups: [],
  mounts: [],
  readOnlyRootfs: false,
  privileged: false,
  allowPrivilegeEscalation: true,
  capabilities: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'SETGID', 'SETUID', 'SYS_CHROOT', 'NET_BIND_SERVICE'],
  seccomp: 'RuntimeDefault',
  resources: {},
  tty: false,
  hostname: 'pod',
  ...change,
})

/** One shell line inside the container. */
export const shell = (line: string): readonly string[] => ['/bin/sh', '-c', line]

export const busyboxPrograms: Programs = {
  exits: code => shell(`exit ${code}`),
  prints: lines => shell(`${lines.map(line => `echo '${line}'`).join('; ')}; echo err >&2`),
  runs: shell('trap "exit 143" TERM; echo ready; while :; do sleep 1000 & wait; done'),
  deaf: shell('trap "" TERM; echo ready; while :; do sleep 1000 & wait; done'),
  missing: ['/bin/not-there'],
}
