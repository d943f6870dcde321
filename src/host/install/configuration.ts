// The configuration manifest of an installed role: what is there already, or a file given, with the flags of this call set in it. Comments
// and order of people stay. A token never stays in it: it is taken out and kept apart until the device has joined.

import { parseDocument } from 'yaml'
import { ApiError } from '../../base/errors.ts'
import { isObject } from '../../base/json.ts'
import { camelCase, resolveOptions } from '../../base/options.ts'
import { CONFIGURATION_KINDS, DATA_DIR_DEFAULT, ROLE_OPTIONS, type Role } from '../../base/role-options.ts'

export interface Configuration {
  readonly text: string
  readonly token: string | undefined
  readonly dataDir: string
  /** Resolved values of the role's options, defaults included. */
  readonly values: Readonly<Record<string, unknown>>
}

const beginning = (
  role: Role,
): string => `# What the Heliopause ${role} of this machine goes by. \`helio help ${role}\` tells what may stand here, in camel case.
# After a change start it again, or run helio install again with the flags to set.
apiVersion: heliopause.io/v1
kind: ${CONFIGURATION_KINDS[role]}
`

const refuse = (message: string, hint?: string): ApiError => new ApiError('BadRequest', message, hint === undefined ? {} : { hint })

const HTTPS_ORIGIN = /^https:\/\/[^/\s]+\/?$/
const TOKEN = /^helio1\.[0-9a-f]{64}\.\S+$/

/** What would keep the role from starting, found before anything is written. */
const checkValues = ({ server }: Readonly<Record<string, unknown>>, token: string | undefined): void => {
  if (server !== undefined && !HTTPS_ORIGIN.test(String(server)))
    throw refuse(`--server: ${JSON.stringify(server)} is not https://HOST:PORT`, 'for example --server https://192.0.2.1:6443')
  if (token !== undefined && !TOKEN.test(token))
    throw refuse('--token: this is not a join token', 'read it on the server: cat DIR/join-token')
}

/**
 * `base`: text of a manifest (an installed one, or the file given), undefined for a new one. `flags`: by flag name without dashes. Throws
 * BadRequest with a hint when the outcome is no configuration the role would take.
 */
export const configurationOf = (role: Role, base: string | undefined, flags: Readonly<Record<string, string | boolean>>): Configuration => {
  const document = parseDocument(base ?? beginning(role), { version: '1.1' })
  const [error] = document.errors
  if (error) throw refuse(`configuration: it is not YAML: ${error.message.split('\n')[0]}`)
  const found: unknown = document.toJS()
  if (!isObject(found) || found['kind'] !== CONFIGURATION_KINDS[role] || found['apiVersion'] !== 'heliopause.io/v1')
    throw refuse(`configuration: it must hold apiVersion heliopause.io/v1, kind ${CONFIGURATION_KINDS[role]}`)
  const inFile = typeof found['token'] === 'string' ? found['token'] : undefined
  const token = typeof flags['token'] === 'string' ? flags['token'].trim() : inFile
  document.delete('token')
  for (const { flag, type } of ROLE_OPTIONS[role]) {
    const given = flags[flag]
    if (given === undefined || flag === 'token' || flag === 'config') continue
    const field = camelCase(flag)
    document.set(
      field,
      type === 'port' && /^\d+$/.test(String(given)) ? Number(given) : type === 'switch' ? String(given) === 'true' : given,
    )
  }
  const fields: unknown = document.toJS()
  const values = resolveOptions(ROLE_OPTIONS[role], {}, {}, isObject(fields) ? fields : {})
  if (typeof values['problem'] === 'string')
    throw refuse(values['problem'], typeof values['hint'] === 'string' ? values['hint'] : `helio help ${role}`)
  checkValues(values as Readonly<Record<string, unknown>>, token)
  const dataDir = String((values as Readonly<Record<string, unknown>>)['dataDir'] ?? DATA_DIR_DEFAULT)
  if (!/^\/[^\0\n]+$/.test(dataDir)) throw refuse(`--data-dir: ${JSON.stringify(dataDir)} is not an absolute path`)
  // Nothing set and nothing taken out: not a byte of a file that people keep is changed.
  const text = base !== undefined && JSON.stringify(fields) === JSON.stringify(found) ? base : document.toString({ lineWidth: 0 })
  return { text, token, dataDir: dataDir.replace(/(?<=.)\/+$/, ''), values: values as Readonly<Record<string, unknown>> }
}
