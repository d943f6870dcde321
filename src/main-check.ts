// helio check: the facts of this machine, gathered and judged. Changes nothing that stays.

import type { CheckRequest, CheckRow, Tell } from './cli/install-shapes.ts'
import { systemClock } from './host/clock.ts'
import { systemExec } from './host/exec.ts'
import { gatherFacts } from './host/preflight/facts.ts'
import { judge } from './host/preflight/rules.ts'
import { VERSION } from './main-options.ts'
import { detectCgroupLayout } from './runtime/cgroup.ts'

export const checkMachine = async (asked: CheckRequest, { tell }: { tell: Tell }): Promise<readonly CheckRow[]> => {
  tell('looking at this machine…')
  const ports = asked.role === 'server' ? [asked.port, ...(asked.mqttPort === undefined ? [] : [asked.mqttPort])] : []
  const { dataDir, server, clusterCIDR } = asked
  const facts = await gatherFacts({ exec: systemExec, clock: systemClock }, { dataDir, ports, server, clusterCIDR })
  const layout = detectCgroupLayout()
  const cgroup = { version: layout.version, hybrid: layout.hybridControllers !== undefined, controllers: layout.controllers }
  return judge({ ...facts, role: asked.role, cgroup, builtMs: Date.parse(VERSION.buildDate) })
}
