// Who a container runs as: manifest first, then the image's user, names looked up in the image's own passwd and group. Pure.
// Source: k8s SecurityContext, OCI image-spec config.User, passwd(5), group(5).

import type { Container, Pod } from '../kinds/pod.ts'
import type { Accounts } from './device.ts'
import { podText } from './device.ts'
import type { ConfigProblem } from './env.ts'

export interface RunAs {
  readonly uid: number
  readonly gid: number
  readonly supplementalGroups: readonly number[]
  readonly home: string | undefined
}

interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

const isNumber = (text: string): boolean => /^\d{1,10}$/.test(text)

const parsePasswd = (passwd: string): Account[] =>
  passwd.split('\n').flatMap(line => {
    const [name = '', , uid = '', gid = '', , home = ''] = line.split(':')
    return name !== '' && isNumber(uid) && isNumber(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : []
  })

interface Group {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

const parseGroup = (group: string): Group[] =>
  group.split('\n').flatMap(line => {
    const [name = '', , gid = '', members = ''] = line.split(':')
    return name !== '' && isNumber(gid) ? [{ name, gid: Number(gid), members: members.split(',').filter(m => m !== '') }] : []
  })

const rootRefused = (pod: Pod, container: Container): ConfigProblem => ({
  problem: `container has runAsNonRoot and image will run as root (pod: "${podText(pod)}", container: ${container.name})`,
})

/** The identity of a container's first process, or why it may not have one. */
export const runAs = (pod: Pod, container: Container, imageUser: string, accounts: Accounts): RunAs | ConfigProblem => {
  const own = container.securityContext ?? {}
  const shared = pod.spec.securityContext ?? {}
  const users = parsePasswd(accounts.passwd)
  const groups = parseGroup(accounts.group)
  const asked = own.runAsUser ?? shared.runAsUser
  const [imageUserPart = '', imageGroupPart = ''] = imageUser.split(':')
  const userText = asked === undefined ? imageUserPart || '0' : String(asked)
  const account = isNumber(userText) ? users.find(u => u.uid === Number(userText)) : users.find(u => u.name === userText)
  if (!account && !isNumber(userText))
    return { problem: `unable to find user ${userText}: no matching entries in passwd file of the image` }
  const uid = account?.uid ?? Number(userText)
  if ((own.runAsNonRoot ?? shared.runAsNonRoot) && uid === 0) return rootRefused(pod, container)
  const groupText = asked === undefined ? imageGroupPart : ''
  const namedGroup = isNumber(groupText) ? Number(groupText) : groups.find(g => g.name === groupText)?.gid
  if (groupText !== '' && namedGroup === undefined)
    return { problem: `unable to find group ${groupText}: no matching entries in group file of the image` }
  const gid = own.runAsGroup ?? shared.runAsGroup ?? namedGroup ?? account?.gid ?? 0
  const memberOf = account ? groups.filter(g => g.members.includes(account.name)).map(g => g.gid) : []
  const extra = [...(shared.supplementalGroups ?? []), ...(shared.fsGroup === undefined ? [] : [shared.fsGroup]), ...memberOf]
  return { uid, gid, supplementalGroups: [...new Set(extra)].filter(g => g !== gid), home: account?.home || undefined }
}
