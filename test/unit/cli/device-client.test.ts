// What an operator reads when the agent goes while it is asked.

import t from 'tap'
import { failureOf } from '../../../src/cli/device-client.ts'

t.test('an agent that ends before it answers leaves it open whether it acted, and that is said', t => {
  for (const code of ['ECONNRESET', 'EPIPE']) {
    const { message, hint } = failureOf('/d/agent.sock', Object.assign(new Error('socket hang up'), { code }))
    t.match(message, /ended before it answered/)
    t.match(hint, /may be done or not/)
  }
  t.end()
})
