// A new certificate for a device that has one: same name, same key, however wrong the dates of the old one are. The device proves its key by
// the connection itself. So no certificate that ran out, on whichever side's clock, ever strands a device. DESIGN sections 2 (6) and 7.

import { type ApiRequest, type ExtraRoute, jsonResponse } from '../api/api.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { Credentials } from './credentials.ts'
import { signDevice } from './join.ts'

export const RENEW_PATH = '/heliopause.io/v1/renew'

export interface RenewDeps {
  readonly credentials: Pick<Credentials, 'authority'>
  readonly pki: Pki
  readonly log: Log
  readonly nowMs: () => number
  /** The node of a device whose key is the Node's; throws Forbidden for everybody else. */
  readonly nodeOf: (device: NonNullable<ApiRequest['device']>) => string
}

/** POST /heliopause.io/v1/renew with the device's certificate: {csr} → {certificate}. The key must be the one the Node belongs to. */
export const renewRoute = (deps: RenewDeps): ExtraRoute => ({
  method: 'POST',
  path: RENEW_PATH,
  // Not by the API's own rules, which refuse wrong dates: the key decides, below.
  anonymous: true,
  async handle(request) {
    const { device } = request
    if (!device) throw new ApiError('Unauthorized', 'renew: this is not the certificate of a device of this cluster')
    const node = deps.nodeOf(device)
    const certificate = sign(deps, node, await csrOf(request))
    if (deps.pki.publicKeyPin(certificate) !== deps.pki.publicKeyPin(device.certificate))
      throw new ApiError('Forbidden', `renew: the node ${node} belongs to another key`)
    deps.log.info('certificate renewed', { node, notAfter: new Date(deps.pki.inspect(certificate).notAfterMs).toISOString() })
    return jsonResponse({ certificate })
  },
})

const csrOf = async (request: ApiRequest): Promise<string> => {
  const text = (await request.body()).toString()
  try {
    const body: unknown = JSON.parse(text)
    if (isObject(body) && typeof body['csr'] === 'string') return body['csr']
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new ApiError('BadRequest', 'renew: the body must be JSON with a csr')
}

const sign = (deps: RenewDeps, node: string, csr: string): string => {
  try {
    return signDevice(deps, node, csr)
  } catch (error) {
    throw new ApiError('BadRequest', `renew: ${messageOf(error)}`, { cause: error })
  }
}
