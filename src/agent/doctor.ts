// What keeps a device from converging, in plain words: facts in, findings out, by a table of rules in the order of what matters most. Pure:
// no look at the machine happens here (doctor-facts.ts does that), so every rule is tried on paper.

import type { DeviceFinding, DeviceLinkView, DevicePod, DeviceStatus } from '../kinds/device-shapes.ts'
import type { ContainerStatus } from '../kinds/pod.ts'
import { reasonOf } from './doctor-contact.ts'

export interface DoctorFacts {
  readonly status: DeviceStatus
  readonly pods: readonly DevicePod[]
  readonly link: DeviceLinkView
  readonly dataDir: string
  /** There is state on disk that the key file does not open. */
  readonly keyLost: boolean
  readonly networkError: string | undefined
  /** The last line a crash-looping container wrote, by `namespace/pod/container`. */
  readonly lastWords: ReadonlyMap<string, string>
  /** Disk and memory, with figures. */
  readonly shortages: readonly string[]
  /** What pods ask for and this machine cannot keep. */
  readonly losses: readonly string[]
  /** Programs that containers or their network need and that are not there. */
  readonly missing: readonly string[]
  /** When the device's certificate ends, and what time it is (both wall ms); undefined before it joined. */
  readonly certificateEndsAtMs: number | undefined
  readonly nowMs: number
}

type Found = Omit<DeviceFinding, 'rule'>
interface Rule {
  readonly rule: string
  readonly find: (facts: DoctorFacts) => readonly Found[]
}

const problem = (what: string, todo: string): Found => ({ level: 'problem', what, todo })
const note = (what: string, todo: string): Found => ({ level: 'note', what, todo })

const DAY_MS = 86_400_000
const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`

const notJoined = ({ status, keyLost }: DoctorFacts): readonly Found[] => {
  if (status.server.joined || keyLost) return []
  const { lastError } = status.server
  const tried = lastError === null || /never joined/.test(lastError) ? undefined : reasonOf(lastError)
  return [
    problem(
      `this device has never joined a server${tried ? `: ${tried.why}` : ''}`,
      tried?.todo ?? 'start the agent once with --server https://HOST:6443 and --token, from DIR/join-token on the server',
    ),
  ]
}

const noContact = ({ status, link }: DoctorFacts): readonly Found[] => {
  const { joined, connected, lastError, url } = status.server
  if (!joined || connected) return []
  if (link.contactIntervalSeconds !== null && lastError === null) return []
  if (lastError === null) return [note(`no contact with ${url} yet, the first dial is under way`, 'ask again in a moment')]
  const { why, todo } = reasonOf(lastError)
  return [problem(`no contact with ${url}: ${why}`, todo)]
}

const certificate = ({ certificateEndsAtMs: endsAtMs, nowMs }: DoctorFacts): readonly Found[] => {
  if (endsAtMs === undefined || nowMs < endsAtMs) return []
  const days = Math.floor((nowMs - endsAtMs) / DAY_MS)
  return [
    note(
      `the certificate of this device ended ${count(days, 'day')} ago`,
      'nothing: its key is what counts, and it is made new on contact',
    ),
  ]
}

const named = ({ namespace, name }: DevicePod): string => `${namespace}/${name}`

export interface Waits {
  readonly pod: DevicePod
  readonly container: ContainerStatus
  readonly reason: string
  readonly message: string
}

/** Containers that wait for one of these reasons. */
export const waiting = (pods: readonly DevicePod[], reasons: RegExp): Waits[] =>
  pods
    .filter(pod => pod.desired)
    .flatMap(pod =>
      [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])].flatMap(container => {
        const { reason, message = '' } = container.state?.waiting ?? {}
        return reason !== undefined && reasons.test(reason) ? [{ pod, container, reason, message }] : []
      }),
    )

/** One finding for an image, whoever waits for it. */
const images = ({ pods, dataDir }: DoctorFacts): readonly Found[] => {
  const byImage = new Map<string, Set<string>>()
  for (const { pod, container } of waiting(pods, /^(?:ErrImageNeverPull|ImagePullBackOff|ErrImagePull)$/))
    byImage.set(container.image, (byImage.get(container.image) ?? new Set()).add(named(pod)))
  return [...byImage].map(([image, users]) =>
    problem(
      `image ${image} is not on this device; wanted by ${[...users].join(', ')}`,
      `bring it: helio image import FILE --data-dir ${dataDir}`,
    ),
  )
}

/** The last line of what a container left behind. */
const wordsOf = (text: string | undefined): string => {
  const line = text?.trim().split('\n').at(-1)?.trim() ?? ''
  return line === '' ? '' : `; its last words: ${line.slice(0, 200)}`
}

const crashes = ({ pods, lastWords }: DoctorFacts): readonly Found[] =>
  waiting(pods, /^CrashLoopBackOff$/).map(({ pod, container }) => {
    const ended = container.lastState?.terminated ?? container.state?.terminated
    const how = ended ? ` (exit code ${ended.exitCode}${ended.reason && ended.reason !== 'Error' ? `, ${ended.reason}` : ''})` : ''
    return problem(
      `container ${container.name} of ${named(pod)} ends again and again${how}, ${count(container.restartCount, 'restart')}${wordsOf(ended?.message || lastWords.get(`${named(pod)}/${container.name}`))}`,
      `helio device logs ${pod.name} -n ${pod.namespace} -c ${container.name} --previous`,
    )
  })

const setUp = ({ pods }: DoctorFacts): readonly Found[] =>
  waiting(pods, /^(?:CreateContainer\w*Error|ContainerCreating|RunContainerError)$/).flatMap(({ pod, container, message }) =>
    message === ''
      ? []
      : [problem(`container ${container.name} of ${named(pod)} cannot start: ${message}`, `helio device pods -n ${pod.namespace}`)],
  )

const stopped = ({ pods }: DoctorFacts): readonly Found[] =>
  [...new Set(waiting(pods, /^DisconnectedStop$/).map(({ pod }) => pod))].map(pod =>
    problem(
      `${named(pod)} is stopped because the server has been silent for as long as its stop-after allows`,
      'it runs again on contact; helio device sync dials now',
    ),
  )

const unready = ({ pods }: DoctorFacts): readonly Found[] =>
  pods
    .filter(pod => pod.desired && !pod.deleting && pod.summary === 'Running' && pod.ready.ready < pod.ready.total)
    .map(pod =>
      problem(
        `${named(pod)} runs, but ${count(pod.ready.total - pod.ready.ready, 'container')} of it ${pod.ready.total - pod.ready.ready === 1 ? 'is' : 'are'} not ready`,
        `its readiness probe fails: helio device logs ${pod.name} -n ${pod.namespace}`,
      ),
    )

const budgets = ({ link }: DoctorFacts): readonly Found[] =>
  Object.entries(link.perPriority).flatMap(([priority, { sentBytes, receivedBytes, budgetBytes, waiting: held }]) => {
    if (priority === 'control' || budgetBytes === null || sentBytes + receivedBytes < budgetBytes) return []
    const hours = Math.ceil((link.dayEndsInSeconds ?? 0) / 3600)
    const what = `the day’s budget of ${link.profile} for ${priority} is used up${held > 0 ? `, ${count(held, 'report')} wait` : ''}`
    return [problem(what, `it goes on in ${count(hours, 'hour')}; a wider profile goes on now: helio device link --profile normal`)]
  })

const dropped = ({ link }: DoctorFacts): readonly Found[] =>
  Object.entries(link.perPriority).flatMap(([priority, each]) =>
    each.dropped > 0
      ? [note(`${count(each.dropped, `${priority} item`)} dropped for age or size`, 'nothing can bring them back; see helio device link')]
      : [],
  )

const RULES: readonly Rule[] = [
  {
    rule: 'key-lost',
    find: ({ keyLost }) =>
      keyLost
        ? [
            problem(
              'the key of the state on disk is missing or another, so the device cannot read who it is',
              'put the key file back (DIR/device.key, or --secret-key-file)',
            ),
          ]
        : [],
  },
  { rule: 'never-joined', find: notJoined },
  {
    rule: 'conflict',
    find: ({ status: { server } }) =>
      server.conflict === null ? [] : [problem(`paused: ${server.conflict}`, 'take what the server has now: helio device resume')],
  },
  { rule: 'no-contact', find: noContact },
  {
    rule: 'clock',
    find: ({ status: { clock } }) =>
      clock.complaint === null ? [] : [problem(clock.complaint, `set it (timedatectl set-ntp true); meanwhile ${clock.now} is used`)],
  },
  {
    rule: 'shortage',
    find: ({ shortages }) =>
      shortages.map(what => problem(what, 'helio image list shows what images take; logs and volumes are in the data folder')),
  },
  {
    rule: 'programs',
    find: ({ missing }) =>
      missing.length === 0
        ? []
        : [problem(`programs are missing: ${missing.join(', ')}`, 'apt-get install crun conmon nftables iproute2, then restart the agent')],
  },
  {
    rule: 'network',
    find: ({ networkError }) =>
      networkError === undefined
        ? []
        : [
            problem(
              `the network of pods cannot be set up: ${networkError}`,
              'it is tried again by itself; is nft there, and is the agent root?',
            ),
          ],
  },
  { rule: 'image-missing', find: images },
  { rule: 'crash-loop', find: crashes },
  { rule: 'set-up', find: setUp },
  {
    rule: 'held',
    find: ({ status }) =>
      status.holds.map(({ namespace, name, by, at, reason }) =>
        problem(
          `${namespace}/${name} is held by ${by} since ${at}${reason === undefined ? '' : `: ${reason}`}`,
          `helio device resume ${name} -n ${namespace}`,
        ),
      ),
  },
  { rule: 'stopped-by-silence', find: stopped },
  { rule: 'not-ready', find: unready },
  {
    rule: 'limits',
    find: ({ losses }) =>
      losses.map(what =>
        problem(
          what,
          `${/memory|cgroup|cpu|pids/i.test(what) ? 'boot a kernel that has it (memory: cgroup_enable=memory on its command line)' : 'use a kernel or a runtime that has it'}, or ask for less`,
        ),
      ),
  },
  { rule: 'budget', find: budgets },
  {
    rule: 'nothing-desired',
    find: ({ status }) =>
      status.server.connected && status.head === null
        ? [problem('the server has sent no desired state yet', 'is the node Ready? on the server: helio describe node')]
        : [],
  },
  { rule: 'certificate', find: certificate },
  { rule: 'dropped', find: dropped },
  {
    rule: 'warning',
    find: ({ status, shortages, losses }) =>
      status.warnings
        .filter(
          warning =>
            !shortages.includes(warning) &&
            !losses.includes(warning) &&
            warning !== status.clock.complaint &&
            !warning.startsWith('network: '),
        )
        .map(warning => note(warning, 'the agent’s log says more')),
  },
]

/** Problems before notes, each in the order of the rules. */
export const diagnose = (facts: DoctorFacts): DeviceFinding[] => {
  const all = RULES.flatMap(({ rule, find }) => find(facts).map(found => ({ rule, ...found })))
  return [...all.filter(each => each.level === 'problem'), ...all.filter(each => each.level === 'note')]
}
