// helio device hold, resume, restart and sync: what an operator does at the device itself, with or without a server.

import type { DeviceRestart, DeviceSync } from '../kinds/device-shapes.ts'
import { deviceAct } from './device-client.ts'
import { podWord } from './device-pods.ts'
import { isWhole, print } from './device-print.ts'
import { Failure, usage } from './failure.ts'
import { SYNC_MS_MAX } from './limits.ts'
import type { VerbContext } from './verb.ts'

const asked = ({ flags, words }: VerbContext, verb: string): { readonly namespace: string; readonly pod: string } => ({
  namespace: flags.text('namespace') ?? 'default',
  pod: podWord(words.slice(1), verb),
})

export const hold = async (context: VerbContext): Promise<void> => {
  const { namespace, pod } = asked(context, 'hold')
  const reason = context.flags.text('reason')
  const value = await deviceAct(context, '/v1/hold', { namespace, pod, ...(reason === undefined ? {} : { reason }) })
  await print(context, value, () => [`pod/${pod} held`])
  if (!isWhole(context)) context.output.note(`it stays stopped until: helio device resume ${pod} -n ${namespace}`)
}

/** Without a pod: ends a conflict with a server that was restored from a backup. */
export const resume = async (context: VerbContext): Promise<void> => {
  if (context.words.length === 1) {
    const value = await deviceAct(context, '/v1/resume', {})
    return print(context, value, () => ['the server’s desired state is accepted'])
  }
  const { namespace, pod } = asked(context, 'resume')
  const value = await deviceAct(context, '/v1/resume', { namespace, pod })
  await print(context, value, () => [`pod/${pod} resumed`])
}

export const restart = async (context: VerbContext): Promise<void> => {
  const { namespace, pod } = asked(context, 'restart')
  const container = context.flags.text('container')
  const value = await deviceAct(context, '/v1/restart', { namespace, pod, ...(container === undefined ? {} : { container }) })
  const { containers } = value as unknown as DeviceRestart
  await print(context, value, () => [`pod/${pod} restarting: ${containers.join(', ') || 'nothing runs'}`])
}

/** What came of it, in one line. */
export const syncText = ({ wasConnected, before, after, podsBefore, podsAfter }: DeviceSync): string => {
  const contact = wasConnected ? 'in contact' : 'connected'
  if (after === null) return `${contact}; the server has nothing for this device yet`
  if (before === after) return `${contact}; nothing new, generation ${after} with ${podsAfter} pods`
  const pods = podsBefore === podsAfter ? `${podsAfter} pods` : `${podsAfter} pods instead of ${podsBefore}`
  return `${contact}; generation ${after} came, with ${pods}`
}

export const sync = async (context: VerbContext): Promise<void> => {
  if (context.words.length > 1) throw usage(`unexpected argument ${JSON.stringify(context.words[1])}`)
  const value = await deviceAct(context, '/v1/sync', {}, { waiting: 'calling the server', waitMsMax: SYNC_MS_MAX })
  const result = value as unknown as DeviceSync
  if (isWhole(context) || result.connected) await print(context, value, () => [syncText(result)])
  if (!result.connected) throw new Failure(`sync: ${result.error ?? 'no contact'}`, { hint: 'helio device doctor says what is in the way' })
  if (result.conflict !== null)
    throw new Failure(`sync: ${result.conflict}`, { hint: 'take the server’s desired state with: helio device resume' })
}
