// What mosquitto is told so that it serves one cluster: TLS with the cluster's authority, identity from the certificate alone, rules in
// which a device has its own topics and the server the rest. Text only; who makes the keys is main-broker.ts. Source: mosquitto.conf(5).

import { BROKER_INFLIGHT_MAX } from '../limits.ts'
import { BROKER_CLIENT_NAME } from './broker-topics.ts'
import { PACKET_BYTES_MAX } from './mqtt-packets.ts'

export interface BrokerConfigOptions {
  /** See clusterIdOf. */
  readonly cluster: string
  /** Where the files lie on the broker's machine. */
  readonly folder: string
  /** Address to listen on; all when absent. */
  readonly bind?: string | undefined
  readonly port: number
}

export interface BrokerConfig {
  readonly 'mosquitto.conf': string
  readonly acl: string
  readonly 'openssl.cnf': string
}

/** Messages and bytes the broker keeps for one client that is slow or away for a moment; beyond it drops, and conversations begin anew. */
const QUEUED_MESSAGES_MAX = 20_000
const QUEUED_BYTES_MAX = 64 * 1024 * 1024

const acl = (
  cluster: string,
): string => `# Who may say and hear what. %u is the common name of the client's certificate; whatever is not named here is refused.
user ${BROKER_CLIENT_NAME}
topic read helio/v1/${cluster}/+/up
topic readwrite helio/v1/${cluster}/+/alive
topic write helio/v1/${cluster}/+/down
topic write helio/v1/${cluster}/+/head

pattern write helio/v1/${cluster}/%u/up
pattern write helio/v1/${cluster}/%u/alive
pattern read helio/v1/${cluster}/%u/down
pattern read helio/v1/${cluster}/%u/head
`

const conf = ({
  folder,
  bind,
  port,
}: BrokerConfigOptions): string => `# Made by "helio broker config" for mosquitto 2. The user mosquitto runs as must be able to read these files.
# Start it with OPENSSL_CONF=${folder}/openssl.cnf in its environment: each time a device comes back it then costs 1.2 KB less.
listener ${port}${bind === undefined ? '' : ` ${bind}`}
cafile ${folder}/ca.crt
certfile ${folder}/broker.crt
keyfile ${folder}/broker.key
tls_version tlsv1.3

# Identity is the client's certificate and nothing it says.
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
allow_zero_length_clientid false
acl_file ${folder}/acl

# Small messages must not wait for one another.
set_tcp_nodelay true
max_packet_size ${PACKET_BYTES_MAX}
max_inflight_messages ${BROKER_INFLIGHT_MAX}
max_queued_messages ${QUEUED_MESSAGES_MAX}
max_queued_bytes ${QUEUED_BYTES_MAX}
max_topic_alias 4
# Nothing needs to outlive the broker: conversations begin anew, and heads are published again.
persistence false
`

/** mosquitto has no word for it: sessions are kept in the broker's memory, else a ticket carries the device's certificate there and back. */
const OPENSSL = `# Made by "helio broker config": sessions are resumed by a short number instead of a ticket that holds the device's certificate.
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Options = -SessionTicket
`

/** The texts of mosquitto.conf, its ACL file, and what OpenSSL is told there. */
export const mosquittoConfig = (options: BrokerConfigOptions): BrokerConfig => ({
  'mosquitto.conf': conf(options),
  acl: acl(options.cluster),
  'openssl.cnf': OPENSSL,
})
