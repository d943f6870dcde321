// /healthz, /livez, /readyz: named checks, as text. Source: kube-apiserver health endpoints.

import type { ApiDeps } from './api.ts'
import { type ApiResponse, textResponse } from './message.ts'

const PATHS = new Set(['/healthz', '/livez', '/readyz'])

export const isHealthPath = (path: string): boolean => PATHS.has(path)

/** `ok`, or the list of checks with 500 when one fails; `?verbose` lists them in any case, `?exclude=` leaves some out. */
export const healthResponse = (
  { checks, readiness }: Pick<ApiDeps, 'checks' | 'readiness'>,
  path: string,
  query: URLSearchParams,
): ApiResponse => {
  const excluded = new Set(query.getAll('exclude'))
  const name = path.slice(1)
  const results = Object.entries(path === '/readyz' ? { ...checks, ...readiness } : checks)
    .filter(([check]) => !excluded.has(check))
    .map(([check, run]) => ({ check, problem: run() }))
  const failed = results.some(({ problem }) => problem !== undefined)
  if (!failed && !query.has('verbose')) return textResponse('ok')
  const lines = results.map(({ check, problem }) => (problem === undefined ? `[+]${check} ok` : `[-]${check} failed: ${problem}`))
  return textResponse([...lines, `${name} check ${failed ? 'failed' : 'passed'}`, ''].join('\n'), failed ? 500 : 200)
}
