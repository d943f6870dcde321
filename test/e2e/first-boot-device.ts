// A device as scripts/flash leaves it, made by hand: an image, a pre-loaded pod with its ConfigMap, a broken manifest beside it.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeImage } from '../../scripts/oci-image.ts'
import { helio } from './cluster.ts'
import { waitUntil } from './waiting.ts'

export const NODES = '/api/v1/nodes'

export interface DevicePod {
  readonly name: string
  readonly uid: string
  readonly summary: string
  readonly containers: readonly { readonly pid: number | null }[]
}

export const podsOf = async (device: string): Promise<readonly DevicePod[]> => {
  const { code, stdout } = await helio('device', 'pods', '--data-dir', device, '--output', 'json')
  return code === 0 ? (JSON.parse(stdout) as { items: DevicePod[] }).items : []
}
export const untilRunning = async (device: string, name: string): Promise<DevicePod> => {
  const found: { pod?: DevicePod } = {}
  await waitUntil(`pod ${name} runs`, async () => {
    const pods = await podsOf(device)
    const pod = pods.find(each => each.name === name && each.summary === 'Running')
    if (pod) found.pod = pod
    return pod !== undefined && pods.length === 1
  })
  return found.pod!
}
const manifest = (name: string, extra = ''): string => `apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: heliopause.local/first:1
    command: [sh, -c, 'test "$(cat /page/word)" = from-preload && exec sleep 100000']
    volumeMounts: [{name: page, mountPath: /page}]
  volumes: [{name: page, configMap: {name: page}}]
${extra}`
const MAP = '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\ndata: {word: from-preload}\n'

export const seedText = (fields: Readonly<Record<string, string>>): string =>
  `apiVersion: heliopause.io/v1\nkind: DeviceSeed\n${Object.entries(fields)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join('')}`

/** The pod is called `first` and needs its ConfigMap. */
export const flashDevice = async (device: string): Promise<void> => {
  mkdirSync(join(device, 'preload'))
  writeFileSync(join(device, 'preload/web.yaml'), manifest('first') + MAP)
  writeFileSync(join(device, 'preload/broken.yaml'), 'kind: [\n')
  const file = join(device, 'first.tar')
  await writeImage(file, { name: 'heliopause.local/first:1' })
  const { code, stderr } = await helio('image', 'import', file, '--data-dir', device)
  if (code !== 0) throw new Error(`import the image of the first boot: ${stderr}`)
  rmSync(file)
}
