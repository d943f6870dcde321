// Whom to ask and as whom: the kubeconfig by --kubeconfig, $KUBECONFIG or the data dir's, and what its current context says.
// Source: k8s client-go tools/clientcmd/api/v1. Only what a plain client needs: exec plugins are refused, not ignored.

import { readFileSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import { Failure } from './failure.ts'
import { KUBECONFIG_BYTES_MAX } from './limits.ts'

export interface Endpoint {
  /** `https://127.0.0.1:6443`, without a slash at the end. */
  readonly server: string
  readonly caPem: string | undefined
  readonly insecure: boolean
  readonly serverName: string | undefined
  readonly certPem: string | undefined
  readonly keyPem: string | undefined
  readonly token: string | undefined
  readonly namespace: string
  readonly context: string
}

export interface KubeconfigChoice {
  readonly flag: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly dataDir: string
  readonly context: string | undefined
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)

const namedEntry = (config: Record<string, unknown>, list: string, name: string | undefined, inner: string): Record<string, unknown> => {
  const entries = Array.isArray(config[list]) ? config[list] : []
  const found = entries.find(entry => isObject(entry) && entry['name'] === name)
  const value = isObject(found) ? found[inner] : undefined
  if (!isObject(value)) throw new Failure(`read kubeconfig: ${inner} ${JSON.stringify(name ?? '')} is not in it`)
  return value
}

const readSmallFile = (path: string): string => {
  if (statSync(path).size > KUBECONFIG_BYTES_MAX) throw new Error(`${path}: more than ${KUBECONFIG_BYTES_MAX} bytes`)
  return readFileSync(path, 'utf8')
}

/** Inline base64 `x-data`, or the file `x`, counted from the kubeconfig's folder. */
const pemOf = (entry: Record<string, unknown>, name: string, folder: string): string | undefined => {
  const data = text(entry[`${name}-data`])
  if (data !== undefined) return Buffer.from(data, 'base64').toString()
  const file = text(entry[name])
  return file === undefined ? undefined : readSmallFile(isAbsolute(file) ? file : join(folder, file))
}

const tokenOf = (user: Record<string, unknown>, folder: string): string | undefined => {
  const token = text(user['token'])
  const file = text(user['tokenFile'])
  if (token !== undefined || file === undefined) return token
  return readSmallFile(isAbsolute(file) ? file : join(folder, file)).trim()
}

/** Where the kubeconfig is looked for, and the hint when it is not there. */
export const kubeconfigPath = (choice: KubeconfigChoice): { path: string; hint: string } => {
  if (choice.flag !== undefined) return { path: choice.flag, hint: 'check --kubeconfig' }
  const fromEnv = choice.env['KUBECONFIG']?.split(':').find(path => path !== '')
  if (fromEnv !== undefined) return { path: fromEnv, hint: 'check $KUBECONFIG' }
  const path = join(choice.dataDir, 'kubeconfig')
  return { path, hint: `is the server running here? helio server --data-dir ${choice.dataDir}; elsewhere give --kubeconfig` }
}

const parse = async (path: string, hint: string): Promise<Record<string, unknown>> => {
  let content: string
  try {
    content = readSmallFile(path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'permission denied' : messageOf(cause)
    throw new Failure(`read kubeconfig ${path}: ${why}`, { cause, hint: code === 'EACCES' ? 'run as its owner (root), or copy it' : hint })
  }
  try {
    const value: unknown = content.trimStart().startsWith('{') ? JSON.parse(content) : (await import('yaml')).parse(content)
    if (isObject(value)) return value
  } catch (cause) {
    throw new Failure(`read kubeconfig ${path}: ${messageOf(cause).split('\n')[0]?.replace(/:$/, '')}`, { cause, hint })
  }
  throw new Failure(`read kubeconfig ${path}: not a kubeconfig`)
}

/** Reads the kubeconfig and resolves its current context (or `choice.context`). */
export const readEndpoint = async (choice: KubeconfigChoice): Promise<Endpoint> => {
  const { path, hint } = kubeconfigPath(choice)
  const config = await parse(path, hint)
  const folder = dirname(path)
  const contextName = choice.context ?? text(config['current-context'])
  if (contextName === undefined) throw new Failure(`read kubeconfig ${path}: no current-context`, { hint: 'give --context' })
  const context = namedEntry(config, 'contexts', contextName, 'context')
  const cluster = namedEntry(config, 'clusters', text(context['cluster']), 'cluster')
  const user = namedEntry(config, 'users', text(context['user']), 'user')
  const server = text(cluster['server'])
  if (server === undefined) throw new Failure(`read kubeconfig ${path}: the cluster has no server`)
  if (isObject(user['exec']) || isObject(user['auth-provider']))
    throw new Failure(`read kubeconfig ${path}: credential plugins are not supported`, {
      hint: 'use kubectl, or a client certificate or a token',
    })
  try {
    return {
      server: server.replace(/\/+$/, ''),
      caPem: pemOf(cluster, 'certificate-authority', folder),
      insecure: cluster['insecure-skip-tls-verify'] === true,
      serverName: text(cluster['tls-server-name']),
      certPem: pemOf(user, 'client-certificate', folder),
      keyPem: pemOf(user, 'client-key', folder),
      token: tokenOf(user, folder),
      namespace: text(context['namespace']) ?? 'default',
      context: contextName,
    }
  } catch (cause) {
    throw new Failure(`read kubeconfig ${path}: ${messageOf(cause)}`, { cause })
  }
}
