// Secret: the rules (k8s.io/api/core/v1). `stringData` is a way of writing only: it is merged into `data` and never stored.

import { base64Latin1, base64Of, base64Size } from './base64.ts'
import type { Cause } from './causes.ts'
import { IMMUTABLE, invalid, invalidAll, required, tooLong } from './causes.ts'
import type { Secret } from './config-map.ts'
import { validateImmutable } from './config-map.ts'
import type { Kind } from './kind.ts'
import { CONFIG_BYTES_MAX } from './limits.ts'
import type { KubeObject } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { configKey, dns1123Subdomain } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, nameOf } from './printing.ts'

export type { Secret } from './config-map.ts'

const SERVICE_ACCOUNT_NAME = 'kubernetes.io/service-account.name'

const asSecret = (object: KubeObject): Secret => object as unknown as Secret

const setSecretDefaults = (secret: Secret): void => {
  secret.type ||= 'Opaque'
  if (!secret.stringData) return
  const encoded = Object.entries(secret.stringData).map(([key, value]) => [key, base64Of(value)] as const)
  secret.data = { ...secret.data, ...Object.fromEntries(encoded) }
  delete secret.stringData
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}

/** A key that must be there, and hold JSON. */
const jsonKey = (secret: Secret, key: string): Cause[] => {
  const path = `data[${key}]`
  const value = secret.data?.[key]
  if (value === undefined) return [required(path)]
  return isJson(base64Latin1(value)) ? [] : [invalid(path, '<secret contents redacted>', 'invalid character in JSON')]
}

const needKeys = (secret: Secret, keys: readonly string[]): Cause[] =>
  keys.filter(key => secret.data?.[key] === undefined).map(key => required(`data[${key}]`))

/** What each built-in type of secret must hold. */
const TYPE_RULES: ReadonlyMap<string, (secret: Secret) => Cause[]> = new Map(
  Object.entries({
    'kubernetes.io/service-account-token': (secret: Secret) =>
      secret.metadata.annotations?.[SERVICE_ACCOUNT_NAME] ? [] : [required(`metadata.annotations[${SERVICE_ACCOUNT_NAME}]`)],
    'kubernetes.io/dockercfg': (secret: Secret) => jsonKey(secret, '.dockercfg'),
    'kubernetes.io/dockerconfigjson': (secret: Secret) => jsonKey(secret, '.dockerconfigjson'),
    'kubernetes.io/basic-auth': (secret: Secret) => {
      const missing = needKeys(secret, ['username', 'password'])
      return missing.length === 2 ? missing : []
    },
    'kubernetes.io/ssh-auth': (secret: Secret) => (secret.data?.['ssh-privatekey'] ? [] : [required('data[ssh-privatekey]')]),
    'kubernetes.io/tls': (secret: Secret) => needKeys(secret, ['tls.crt', 'tls.key']),
  }),
)

const validateSecret = (secret: Secret): Cause[] => {
  const causes: Cause[] = []
  let sizeBytes = 0
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    causes.push(...invalidAll(`data[${key}]`, key, configKey(key)))
    sizeBytes += base64Size(value)
  }
  if (sizeBytes > CONFIG_BYTES_MAX) causes.push(tooLong('data', CONFIG_BYTES_MAX))
  return [...causes, ...(TYPE_RULES.get(secret.type ?? '')?.(secret) ?? [])]
}

export const secretKind: Kind = {
  group: '',
  version: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  singular: 'secret',
  shortNames: [],
  namespaced: true,
  definition: 'io.k8s.api.core.v1.Secret',
  hasStatus: false,
  hasGeneration: false,
  setDefaults: object => setSecretDefaults(asSecret(object)),
  validate: object => [...validateObjectMeta(object.metadata, true, dns1123Subdomain), ...validateSecret(asSecret(object))],
  validateUpdate: (object, old) => {
    const [fresh, before] = [asSecret(object).type, asSecret(old).type]
    const causes = [...validateObjectMetaUpdate(object.metadata, old.metadata), ...validateImmutable(object, old, ['data'])]
    return fresh === before ? causes : [...causes, invalid('type', fresh, IMMUTABLE)]
  },
  columns: [
    NAME_COLUMN,
    column('Type', 'Used to facilitate programmatic handling of secret data.'),
    column('Data', 'Number of keys.'),
    AGE_COLUMN,
  ],
  row: (object, nowMs) => {
    const secret = asSecret(object)
    return [nameOf(object), secret.type ?? '', Object.keys(secret.data ?? {}).length, ageOf(object, nowMs)]
  },
  fields: object => ({ type: asSecret(object).type ?? '' }),
}
