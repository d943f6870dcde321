// The verbs, in the order help lists them. A new verb is one file and one line.

import type { VerbEntry } from './verb.ts'

export const VERBS: readonly VerbEntry[] = [
  { name: 'get', summary: 'list objects, or show some', load: () => import('./get.ts') },
  { name: 'describe', summary: 'show objects in detail, with their events', load: () => import('./describe.ts') },
  { name: 'apply', summary: 'make the cluster what manifests say', load: () => import('./apply.ts') },
  { name: 'create', summary: 'create objects from manifests or from flags', load: () => import('./create.ts') },
  { name: 'delete', summary: 'delete objects', load: () => import('./delete.ts') },
  { name: 'logs', summary: 'print what containers wrote', load: () => import('./logs.ts') },
  { name: 'exec', summary: 'run a command in a container', load: () => import('./exec.ts') },
  { name: 'attach', summary: 'show what a running container writes from now on', load: () => import('./attach.ts') },
  { name: 'port-forward', summary: 'lead ports of this machine into a pod', load: () => import('./port-forward.ts') },
  { name: 'cp', summary: 'copy files into and out of containers', load: () => import('./cp.ts') },
  { name: 'scale', summary: 'set the number of replicas', load: () => import('./scale.ts') },
  { name: 'set', summary: 'change the image of containers', load: () => import('./set.ts') },
  { name: 'rollout', summary: 'watch, undo, pause or restart a rollout', load: () => import('./rollout.ts') },
  { name: 'image', summary: 'import and list the images of this device', load: () => import('./image.ts') },
  { name: 'device', summary: 'ask the agent on this machine, without the server', load: () => import('./device.ts') },
  { name: 'hold', summary: 'list and lift the holds that operators made at their devices', load: () => import('./hold.ts') },
  { name: 'node', summary: 'decide about devices: follow a restored server, fence and unfence', load: () => import('./node.ts') },
  {
    name: 'check',
    summary: 'see whether this machine can do what a role needs, and what to do about it',
    load: () => import('./check.ts'),
  },
  { name: 'install', summary: 'make this machine a server or a device that starts by itself', load: () => import('./install.ts') },
  { name: 'uninstall', summary: 'take back what install did', load: () => import('./uninstall.ts') },
  { name: 'broker', summary: 'write the configuration of an MQTT broker for this cluster', load: () => import('./broker.ts') },
  { name: 'upgrade', summary: 'bring in a new version of this program, on trial', load: () => import('./upgrade.ts') },
  { name: 'api-resources', summary: 'list what the server has kinds for', load: () => import('./api-resources.ts') },
  { name: 'version', summary: 'print the versions of client and server, or check an executable', load: () => import('./version.ts') },
]
