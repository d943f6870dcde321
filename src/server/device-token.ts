// A join token for one device: made of the server's own without asking it, good for one node name. The name belongs to the first key that
// takes it, so the token is good for one device; who finds it on a card cannot join under another name, nor make other tokens.

import { createHmac } from 'node:crypto'

/** `helio1.<pin>.<hex HMAC-SHA-256 of the name under the whole token of the server>`. Void when the server's token changes. */
export const deviceToken = (joinToken: string, nodeName: string): string => {
  const pin = joinToken.split('.')[1] ?? ''
  return `helio1.${pin}.${createHmac('sha256', joinToken).update(`heliopause device token\n${nodeName}`).digest('hex')}`
}
