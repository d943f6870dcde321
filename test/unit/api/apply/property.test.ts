import t from 'tap'
import { fromFieldsV1, toFieldsV1 } from '../../../../src/api/apply/field-set.ts'
import { mergeValue, removePaths } from '../../../../src/api/apply/merge.ts'
import { leavesOf, rootPart } from '../../../../src/api/apply/walk.ts'
import { deepEqual } from '../../../../src/base/json.ts'
import { fc } from '../../../property.ts'

const POD = rootPart('io.k8s.api.core.v1.Pod')

const text = fc.constantFrom('a', 'b', 'c')
const labels = fc.dictionary(text, text, { maxKeys: 3 })
const ports = fc.uniqueArray(
  fc.record({ containerPort: fc.integer({ min: 1, max: 3 }), name: text }, { requiredKeys: ['containerPort'] }),
  {
    selector: port => port.containerPort,
  },
)
const container = fc.record({ name: text, image: text, command: fc.array(text, { maxLength: 2 }), ports }, { requiredKeys: ['name'] })
const pod = fc.record(
  {
    metadata: fc.record({ labels, finalizers: fc.uniqueArray(text) }, { requiredKeys: [] }),
    spec: fc.record(
      { containers: fc.uniqueArray(container, { selector: each => each.name }), nodeSelector: labels, nodeName: text },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
)

/** Without the marks of containers: an empty one is no longer named once it holds something. */
const valuesOf = (value: unknown): Map<string, unknown> => new Map([...leavesOf(value, POD)].filter(([, each]) => typeof each !== 'symbol'))

const pathsOf = (value: unknown): Set<string> => new Set(leavesOf(value, POD).keys())

t.test('a set of fields survives the wire', async () => {
  fc.assert(
    fc.property(pod, value => {
      const set = pathsOf(value)
      return deepEqual([...fromFieldsV1(JSON.parse(JSON.stringify(toFieldsV1(set))))].sort(), [...set].sort())
    }),
  )
})

t.test('a merge holds all that was said, keeps all that was not, and is the same a second time', async () => {
  fc.assert(
    fc.property(pod, pod, (live, config) => {
      const merged = mergeValue(live, config, POD)
      const [before, said, after] = [valuesOf(live), valuesOf(config), valuesOf(merged)]
      const holds = [...said].every(([path, value]) => deepEqual(after.get(path), value))
      const keeps = [...before].every(([path, value]) => said.has(path) || deepEqual(after.get(path), value))
      const nothingElse = [...after.keys()].every(path => said.has(path) || before.has(path))
      return holds && keeps && nothingElse && deepEqual(mergeValue(merged, config, POD), merged)
    }),
  )
})

t.test('what is removed is gone, and the paths beside it stay', async () => {
  fc.assert(
    fc.property(pod, pod, (live, other) => {
      const [all, wanted] = [pathsOf(live), pathsOf(other)]
      const doomed = new Set([...all].filter(path => wanted.has(path)))
      const left = pathsOf(removePaths(live, POD, doomed))
      const below = (path: string): boolean => [...doomed].some(each => path === each || path.startsWith(`${each}\u0001`))
      // A container may go with its last part; nothing that is a value of its own does.
      return [...left].every(path => !below(path)) && [...valuesOf(live).keys()].every(path => below(path) || left.has(path))
    }),
  )
})
