// `node test/bench/broker.ts [messages] [restarts] [cuts]`: so many messages (100,000) each counted through a real mosquitto that is killed so
// often (10) under them, and to which the server's own line breaks so often (10), with messages under way. Ends with code 1 when one was lost or counted twice.

import { openBrokerWorld } from '../contract/broker-world.ts'
import { countThroughBroker } from './broker-count.ts'

const DEVICES = 8
const [messages = 100_000, restarts = 10, cuts = 10] = process.argv.slice(2).map(Number)
const world = await openBrokerWorld()
const counted = await countThroughBroker(world, { devices: DEVICES, messages: Math.ceil(messages / DEVICES / 2), restarts, cuts })
await world.close()
const { heard, twice, missed, elapsedMs } = counted
process.stdout.write(
  `${heard} messages, ${missed} lost, ${twice} twice; ${counted.restarts} broker restarts, ${counted.conversations} conversations, ` +
    `${counted.repeated} deliveries repeated, ${counted.swapped} swapped, ${counted.swallowed} swallowed; ${Math.round((heard / elapsedMs) * 1000)} a second\n`,
)
process.exit(missed + twice > 0 ? 1 : 0)
