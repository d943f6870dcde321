// The path without a container runtime, end to end: the real executable with plain processes as containers, as root and as a user who
// may do nothing (where root can become nobody): apply, serve, scale, server and agent killed, adoption, healing by the agent alone.

import { chmodSync, chownSync, copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { systemClock } from '../../src/host/clock.ts'
import { type Actor, type CommandResult, freePort, HELIO, type Running, run, runAs, SELF, startAs, temporaryDir, wipe } from './cluster.ts'

/** After this long a wait has failed, on the slowest machine too. */
const PATIENCE_MS = 240_000
const NOBODY = { uid: 65534, gid: 65534 }
const isRoot = process.getuid?.() === 0

/** Asks until the answer is yes; each question is a command of its own. */
const until = async (what: string, check: () => Promise<boolean>): Promise<void> => {
  const endMs = systemClock.mono() + PATIENCE_MS
  while (!(await check())) if (systemClock.mono() > endMs) throw new Error(`waited in vain: ${what}`)
}

interface DevicePod {
  readonly name: string
  readonly summary: string
  readonly restarts: number
  readonly containers: readonly { readonly pid: number | null }[]
}

const manifest = (port: number): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "from a ConfigMap\\n"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: heliopause.local/web:1
        command: [sh, -c, "cat /motto && exec httpd -f -p ${port} -h /www"]
        readinessProbe: {exec: {command: [cat, /www/index.html]}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /www, readOnly: true}]
      volumes: [{name: page, configMap: {name: page}}]
`

const page = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/index.html', agent: false, timeout: PATIENCE_MS }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    }).on('error', reject)
  })

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

/** The program where this user can run it, in a folder that is his. */
const nobodyIn = (dir: string): Actor => {
  cpSync(dirname(HELIO), join(dir, 'dist'), { recursive: true })
  copyFileSync(SELF.command === HELIO ? process.execPath : SELF.command, join(dir, 'node'))
  chmodSync(join(dir, 'node'), 0o755)
  chownSync(dir, NOBODY.uid, NOBODY.gid)
  return { ...NOBODY, command: join(dir, 'node'), args: ['--max-semi-space-size=8', join(dir, 'dist/helio')] }
}

/** The whole path, by one actor, below `dir`. */
const walk = async (t: Test, actor: Actor, dir: string, ...flags: string[]): Promise<void> => {
  const data = join(dir, 'data')
  const [port, webPort] = [await freePort(), await freePort()]
  const roles: Running[] = []
  t.teardown(async () => {
    for (const role of roles) await role.kill()
    wipe(dir)
  })
  const begin = async (...args: string[]): Promise<Running> => {
    const role = await startAs(actor, ...args)
    roles.push(role)
    return role
  }
  const serve = (): Promise<Running> => begin('server', '--data-dir', data, '--port', String(port), ...flags)
  const helio = async (...args: string[]): Promise<CommandResult> => {
    const result = await runAs(actor, [...args, '--data-dir', data])
    t.equal(result.code, 0, `${args.join(' ')}: ${result.stderr.slice(-500)}`)
    return result
  }
  const devicePods = async (): Promise<DevicePod[]> =>
    (JSON.parse((await helio('device', 'pods', '-o', 'json')).stdout) as { items: DevicePod[] }).items
  const onlyPod = async (): Promise<{ name: string; pid: number; restarts: number } | undefined> => {
    // A server says ready before the agent beside it has its socket.
    const asked = await runAs(actor, ['device', 'pods', '-o', 'json', '--data-dir', data])
    if (asked.code !== 0 && /no agent is running there/.test(asked.stderr)) return undefined
    const [pod, other] = await devicePods()
    const pid = pod?.summary === 'Running' ? pod.containers[0]?.pid : undefined
    return pod && pid && !other ? { name: pod.name, pid, restarts: pod.restarts } : undefined
  }
  const waitForPod = async (what: string, wanted: (pod: { pid: number }) => boolean = () => true) => {
    const pods: Awaited<ReturnType<typeof onlyPod>>[] = []
    await until(what, async () => {
      pods[0] = await onlyPod()
      return pods[0] !== undefined && wanted(pods[0])
    })
    return pods[0]!
  }

  const server = await serve()
  await writeImage(join(dir, 'web.tar'), { name: 'heliopause.local/web:1', files: [{ path: 'motto', text: 'small is enough\n' }] })
  writeFileSync(join(dir, 'web.yaml'), manifest(webPort))
  for (const file of ['web.tar', 'web.yaml']) chmodSync(join(dir, file), 0o644)
  await helio('image', 'import', join(dir, 'web.tar'))
  await helio('apply', '-f', join(dir, 'web.yaml'))
  await helio('rollout', 'status', 'deployment/web', '--timeout=60s')
  t.match((await helio('device', 'status')).stdout, /Runtime: +process:/)
  t.equal(await page(webPort), 'from a ConfigMap\n')
  t.equal((await helio('logs', 'deployment/web')).stdout, 'small is enough\n', 'its root is the image')

  await helio('scale', 'deployment/web', '--replicas=0')
  await until('no pod', async () => (await devicePods()).length === 0)
  await t.rejects(page(webPort))
  await helio('scale', 'deployment/web', '--replicas=1')
  await helio('rollout', 'status', 'deployment/web', '--timeout=60s')

  const before = await waitForPod('the pod')
  await server.kill()
  t.ok(isAlive(before.pid), 'the server was killed, the process runs')
  const agent = await begin('agent', '--data-dir', data, ...flags)
  t.same(await waitForPod('the adopted pod'), before, 'the agent alone adopts it')
  process.kill(before.pid, 'SIGKILL')
  const healed = await waitForPod('the healed pod', pod => pod.pid !== before.pid)
  t.equal(healed.restarts, before.restarts + 1, 'the agent alone starts it again')
  t.match((await helio('device', 'status')).stdout, /not connected, no contact since the agent started: .*connection refused/)

  await agent.kill()
  const again = await serve()
  t.same(await waitForPod('the pod under the new server'), healed, 'nothing restarts')
  await until('the status at the server', async () => /web-\S+ +1\/1 +Running +1 /.test((await helio('get', 'pods')).stdout))
  t.equal(await page(webPort), 'from a ConfigMap\n')
  await helio('delete', '-f', join(dir, 'web.yaml'))
  await until('nothing left', async () => (await devicePods()).length === 0 && !isAlive(healed.pid))
  await until('the server knows', async () => (await helio('get', 'pods')).stdout === '')
  t.equal(await again.stop(), 0, again.stderr().slice(-600))
}

t.test('plain processes as root', { skip: isRoot ? false : 'NOT ROOT: only what this user may do is tested' }, async t => {
  await walk(t, SELF, temporaryDir(), '--runtime', 'process')
})

const mayUseNamespaces = async (user: { uid?: number; gid?: number }): Promise<boolean> =>
  (await run('unshare', ['--user', '--map-root-user', '--mount', 'mount', '--rbind', '/proc', '/proc'], '', {}, user)).code === 0

const user = isRoot ? NOBODY : {}
const obstacle = (await mayUseNamespaces(user)) ? false : 'THIS KERNEL LETS USERS MAKE NO NAMESPACES: the unprivileged path is not tested'
t.test('plain processes as a user without any right', { skip: obstacle }, async t => {
  const dir = temporaryDir()
  mkdirSync(dir, { recursive: true })
  await walk(t, isRoot ? nobodyIn(dir) : SELF, dir)
})
