// A TCP connection to a port of a pod. First to the pod's address; what listens on the pod's loopback only is reached through a small
// relay that is started inside the pod's network, since Node cannot enter one: busybox's nc where there is one (1 MB), else this Node.
// Pods on the device's own network are reached on its loopback. Source: k8s PodPortForwardOptions; kubelet dials localhost in the pod.

import { spawn } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import type { Exec } from '../base/exec.ts'
import { usesHostNetwork } from './device.ts'
import { PORT_DIAL_MS_MAX } from './limits.ts'
import { type AskedPod, findPod } from './local-pods.ts'
import type { DeviceState } from './machine.ts'

export interface PortDeps {
  readonly state: DeviceState
  readonly clock: Pick<Clock, 'after'>
  readonly exec: Exec
}

const LOOPBACK = '127.0.0.1'

const dial = (deps: Pick<PortDeps, 'clock'>, host: string, port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true })
    const cancel = deps.clock.after(PORT_DIAL_MS_MAX, () => socket.destroy(new Error(`no answer within ${PORT_DIAL_MS_MAX} ms`)))
    socket.once('connect', () => {
      cancel()
      socket.removeAllListeners('error')
      socket.setNoDelay(true)
      resolve(socket)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      cancel()
      reject(error.code === 'ECONNREFUSED' ? new Error('connection refused', { cause: error }) : error)
    })
  })

/** Joins standard input and output to the port, ends each direction on its own. Fails with code 1 and a line on standard error. */
const NODE_RELAY = `
const socket = require('net').connect({ host: '${LOOPBACK}', port: Number(process.argv[1]), allowHalfOpen: true })
process.stdin.on('error', () => undefined).pipe(socket).pipe(process.stdout.on('error', () => socket.destroy()))
socket.on('error', error => { process.stderr.write(error.message); process.exit(1) })`

const relayWords = async (exec: Exec, port: number): Promise<readonly string[]> => {
  const busybox = exec.find('busybox')
  const hasNc = busybox !== undefined && (await exec.run(busybox, ['--list'])).stdout.split('\n').includes('nc')
  return hasNc ? [busybox, 'nc', LOOPBACK, `${port}`] : [process.execPath, '--max-semi-space-size=1', '-e', NODE_RELAY, `${port}`]
}

/** The relay as one stream. Nothing tells that it is connected; that it is not, shows as its failure before any output. */
const relayed = async (exec: Exec, netns: string, port: number): Promise<Duplex> => {
  const nsenter = exec.find('nsenter')
  if (nsenter === undefined) throw new Error("nsenter (util-linux) is needed to reach what listens on the pod's loopback")
  const child = spawn(nsenter, [`--net=${netns}`, '--', ...(await relayWords(exec, port))], { stdio: 'pipe', detached: true })
  const said = { text: '', heard: false }
  child.stderr.on('data', chunk => {
    if (said.text.length < 1024) said.text += String(chunk)
  })
  const stream = new Duplex({
    read: () => void child.stdout.resume(),
    // What a relay that has ended does not take, nobody takes.
    write: (chunk, _encoding, done) => void child.stdin.write(chunk, () => done()),
    final: done => void child.stdin.end(() => done()),
    destroy(error, done) {
      child.kill('SIGKILL')
      done(error)
    },
  })
  child.stdin.on('error', () => child.stdin.destroy())
  child.stdout.on('data', chunk => {
    said.heard = true
    if (!stream.push(chunk)) child.stdout.pause()
  })
  child.on('error', error => stream.destroy(error))
  child.on('close', code => {
    if (code === 0 || said.heard) stream.push(null)
    else stream.destroy(new Error(/refused/.test(said.text) ? 'connection refused' : said.text.trim() || `the relay ended with ${code}`))
  })
  return stream
}

/** Why a port cannot be reached, in one line. */
export const portFailure = (target: AskedPod, port: number, why: unknown): ApiError =>
  new ApiError('BadRequest', `forward port ${port} to pod ${target.namespace}/${target.pod}: ${why instanceof Error ? why.message : why}`, {
    cause: why,
  })

/** Opens a connection to the pod's port. Rejects with ApiError; a refusal on the pod's loopback may come later, as the stream's error. */
export const openPort = async (deps: PortDeps, target: AskedPod, port: number): Promise<Duplex> => {
  const record = findPod(deps.state, target)
  if (record.pod === undefined || record.sandbox === 'absent') throw portFailure(target, port, 'the pod does not run')
  const { netns, address } = record
  try {
    if (usesHostNetwork(record.pod, deps.state.device)) return await dial(deps, LOOPBACK, port)
    if (netns === undefined || address === undefined) throw new Error('the pod has no network yet')
    return await dial(deps, address, port).catch(() => relayed(deps.exec, netns, port))
  } catch (error) {
    throw portFailure(target, port, error)
  }
}
