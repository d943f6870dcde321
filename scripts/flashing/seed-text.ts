// Writing seeds: the text of one, from what is known of a device. What comes out is read back by the device's own reader before it is used.

import { stringify } from 'yaml'
import { pinOf } from '../../src/agent/join.ts'
import { parseSeed } from '../../src/agent/seed.ts'
import { deviceToken } from '../../src/server/device-token.ts'

export interface SeedRequest {
  readonly nodeName?: string | undefined
  readonly site?: string | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly server?: string | undefined
  /** The server's token; the seed gets one for this device alone where its name is known. */
  readonly token?: string | undefined
  readonly link?: string | undefined
}

/** Undefined when nothing was asked for. Throws a Refusal when the device would refuse it. */
export const seedTextOf = async (asked: SeedRequest): Promise<string | undefined> => {
  const { nodeName, site, labels, server, token, link } = asked
  if ([nodeName, site, server, token, link].every(each => each === undefined) && Object.keys(labels).length === 0) return undefined
  if (token !== undefined) pinOf(token)
  const own = token === undefined ? undefined : nodeName === undefined ? token : deviceToken(token, nodeName)
  const text = stringify(
    {
      apiVersion: 'heliopause.io/v1',
      kind: 'DeviceSeed',
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(site === undefined ? {} : { site }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
      ...(server === undefined ? {} : { server }),
      ...(own === undefined ? {} : { token: own }),
      ...(link === undefined ? {} : { link }),
    },
    { lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' },
  )
  await parseSeed(text, 'to be written')
  return text
}
