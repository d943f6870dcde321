// The routed network for real: runs the compiled texts through ip and nft. Everything has a name derived from the instance, so several
// agents on one machine never touch each other's links or tables. Idempotent; survives the agent.

import { createHash } from 'node:crypto'
import type { Exec, ExecOptions, ExecResult } from '../base/exec.ts'
import { isObject } from '../base/json.ts'
import { deviceAddress } from './address.ts'
import { COMMAND_TIMEOUT_MS, DEVICE_NAME_MAX, ERROR_TEXT_MAX } from './limits.ts'
import type { Network, NetworkConfig, NetworkDeps, PodAttachment } from './network.ts'
import { checkAddress, checkConfig, hostBatch, natTable, podBatch, SYSCTLS } from './rules.ts'

const hash = (text: string): string => createHash('sha256').update(text).digest('hex')

/** All links of one instance begin so; the table is named likewise. */
export const linkPrefix = (instance: string): string => `he${hash(instance).slice(0, 4)}`
export const linkName = (instance: string, uid: string): string => `${linkPrefix(instance)}${hash(uid)}`.slice(0, DEVICE_NAME_MAX)
export const tableName = (instance: string): string => `helio_${hash(instance).slice(0, 8)}`

/** $@ are pairs of a path below /proc/sys and a value; only what differs is written. */
const SET_SYSCTLS =
  'while [ $# -gt 1 ]; do read -r was < "/proc/sys/$1"; [ "$was" = "$2" ] || echo "$2" > "/proc/sys/$1" || exit; shift 2; done'

const inPod = (netns: string, args: readonly string[]): readonly string[] => [`--net=${netns}`, 'ip', ...args]

interface Programs {
  run(command: string, args: readonly string[], options?: ExecOptions): Promise<ExecResult>
  /** Rejects when the program fails, with its words behind `what`. */
  must(what: string, command: string, args: readonly string[], options?: ExecOptions): Promise<ExecResult>
}

const programs = (exec: Exec): Programs => {
  const run: Programs['run'] = (command, args, options = {}) => exec.run(command, args, { timeoutMs: COMMAND_TIMEOUT_MS, ...options })
  return {
    run,
    async must(what, command, args, options) {
      const result = await run(command, args, options)
      if (result.code !== 0) throw new Error(`${what}: ${(result.stderr || result.stdout).trim().slice(0, ERROR_TEXT_MAX)}`)
      return result
    },
  }
}

/** Links made at the same time, as when a device boots, race the loading of their module; where it cannot be loaded, attaching says so. */
const loadVeth = async ({ run }: Programs): Promise<void> => {
  await run('sh', ['-c', '[ -d /sys/module/veth ] || modprobe -q veth'])
}

/** Links of this instance on the device. */
const listLinks = async ({ must }: Programs, instance: string): Promise<readonly string[]> => {
  const listed: unknown = JSON.parse((await must('list links', 'ip', ['-j', 'link', 'show', 'type', 'veth'])).stdout || '[]')
  const names = (Array.isArray(listed) ? listed : []).map((link: unknown) => (isObject(link) ? link['ifname'] : undefined))
  return names.filter(name => typeof name === 'string').filter(name => name.startsWith(linkPrefix(instance)))
}

/** True when the pod's end holds the address and a default route: then the link is whole. */
const isAttached = async ({ run }: Programs, attachment: PodAttachment): Promise<boolean> => {
  const [address, route] = await Promise.all([
    run('nsenter', inPod(attachment.netns, ['-o', '-4', 'addr', 'show', 'dev', 'eth0'])),
    run('nsenter', inPod(attachment.netns, ['-4', 'route', 'show', 'default'])),
  ])
  return address.code === 0 && address.stdout.includes(` ${attachment.address}/32 `) && route.stdout.includes('default')
}

/** Pods by routed links on the device `deps.exec` acts on; see the head of this file. */
export const createRoutedNetwork = (deps: NetworkDeps): Network => {
  const { exec, log, instance } = deps
  const table = tableName(instance)
  const state: { config: NetworkConfig | undefined } = { config: undefined }

  const tools = programs(exec)
  const { run, must } = tools
  const deleteLink = async (device: string): Promise<void> => {
    const result = await run('ip', ['link', 'delete', device])
    if (result.code !== 0 && !/Cannot find device/.test(result.stderr)) throw new Error(`detach pod: ${result.stderr.trim()}`)
  }

  const build = async (attachment: PodAttachment, device: string, gateway: string): Promise<void> => {
    const link = { device, netns: attachment.netns, address: checkAddress(attachment.address), gateway }
    await must('attach pod', 'ip', ['-batch', '-'], { input: hostBatch(link) })
    await must('attach pod', 'nsenter', inPod(attachment.netns, ['-batch', '-']), { input: podBatch(link) })
  }

  return {
    async configure(config) {
      checkConfig(config)
      await Promise.all([
        must('configure network', 'sh', ['-c', SET_SYSCTLS, 'sh', ...SYSCTLS.flat()]),
        must('configure network', 'nft', ['-f', '-'], { input: natTable(table, config) }),
        loadVeth(tools),
      ])
      state.config = config
    },
    async attach(attachment) {
      const gateway = state.config === undefined ? undefined : deviceAddress(state.config.podCIDR)
      if (gateway === undefined) throw new Error('attach pod: the network is not configured yet')
      const device = linkName(instance, attachment.uid)
      try {
        await build(attachment, device, gateway)
      } catch (error) {
        // Usually "File exists": it was attached before, whole or not.
        if (await isAttached(tools, attachment)) return
        log.debug('pod link made anew', { uid: attachment.uid, device })
        await deleteLink(device)
        await run('nsenter', inPod(attachment.netns, ['link', 'delete', 'eth0']))
        await build(attachment, device, gateway)
        if (!(await isAttached(tools, attachment))) throw error
      }
    },
    detach: uid => deleteLink(linkName(instance, uid)),
    async remove() {
      await Promise.all((await listLinks(tools, instance)).map(deleteLink))
      await must('remove network', 'nft', ['-f', '-'], { input: `add table ip ${table}\ndelete table ip ${table}\n` })
    },
  }
}
