// Why a device has no contact with its server, from the words of the last attempt: a table, the first that fits. Pure.

export interface Reason {
  readonly why: string
  readonly todo: string
}

interface Entry extends Reason {
  readonly fits: RegExp
}

const TABLE: readonly Entry[] = [
  {
    fits: /is not the server the token was made by/,
    why: 'the join token was made by another server',
    todo: 'check --server, or take the token from that server: cat DIR/join-token',
  },
  {
    fits: /not a join token|token.*(?:expired|unknown|invalid)|refused.*token/i,
    why: 'the join token is not accepted',
    todo: 'take a new one from the server (cat DIR/join-token) and start the agent with --token',
  },
  {
    fits: /ENOTFOUND|EAI_AGAIN|ESERVFAIL/,
    why: 'its name cannot be resolved',
    todo: 'check the resolver (/etc/resolv.conf), or start the agent with --server https://ADDRESS:6443',
  },
  {
    fits: /not trusted|not signed by|self.signed|unable to verify|UNABLE_TO_/i,
    why: 'what answers there is not the server this device joined',
    todo: 'check the address and what is in between; a server that was made anew is joined with --server and --token',
  },
  {
    fits: /no node for this device|Forbidden|\b403\b/,
    why: 'the server does not know the key of this device (was its node deleted?)',
    todo: 'start the agent once with --token, from DIR/join-token on the server',
  },
  {
    fits: /\b401\b|certificate required|bad certificate|unknown ca|alert number/i,
    why: 'the server does not accept the certificate of this device',
    todo: 'start the agent once with --token, from DIR/join-token on the server',
  },
  {
    fits: /expired|not yet valid|NOT_YET_VALID/i,
    why: 'a certificate is out of date by the clock of one of the two machines',
    todo: 'set the clock here and on the server: timedatectl set-ntp true',
  },
  {
    fits: /refused/i,
    why: 'nothing listens there',
    todo: 'is the server running, and is this its port? on the server: curl -k https://127.0.0.1:6443/readyz',
  },
  {
    fits: /ENETUNREACH|EHOSTUNREACH|unreachable/i,
    why: 'there is no way to it',
    todo: 'is the modem or the cable up? see: ip address; ip route',
  },
  {
    fits: /busy/i,
    why: 'the server is busy and told this device to wait',
    todo: 'nothing; it dials again by itself',
  },
  {
    fits: /no answer|timed? ?out|ETIMEDOUT|given up|ECONNRESET|EPIPE|hang up|closed|lost/i,
    why: 'it does not answer, or the line breaks',
    todo: 'is the link up, and does a firewall let TCP to this port out? helio device sync dials now',
  },
]

/** The reason in plain words; of a text that no row fits, its own words. */
export const reasonOf = (lastError: string): Reason =>
  TABLE.find(({ fits }) => fits.test(lastError)) ?? { why: lastError, todo: 'helio device sync dials now' }
