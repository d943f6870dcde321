// One index entry of the view: objects in key order. `list` gives the same array until the bucket changes, so that readers can keep what
// they derived from it; a change after a `list` works on a copy, so an array once given never moves.

import type { KubeObject } from '../base/object.ts'

export interface Bucket {
  readonly size: number
  get(key: string): KubeObject | undefined
  /** Undefined for an object that is not held: `list` reads it. */
  set(key: string, object: KubeObject | undefined): void
  delete(key: string): void
  list(read: (key: string) => KubeObject): readonly KubeObject[]
}

export const createBucket = (): Bucket => {
  const keys: string[] = []
  let objects: (KubeObject | undefined)[] = []
  let given: readonly KubeObject[] | undefined
  let missing = 0

  /** Where the key is, or where it belongs. New keys mostly come last. */
  const search = (key: string): number => {
    const last = keys.at(-1)
    if (last === undefined || last < key) return keys.length
    let low = 0
    let high = keys.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }
  const touch = (): void => {
    if (given === objects) objects = objects.slice()
    given = undefined
  }
  return {
    get size() {
      return keys.length
    },
    get(key) {
      const index = search(key)
      return keys[index] === key ? objects[index] : undefined
    },
    set(key, object) {
      touch()
      const index = search(key)
      if (keys[index] === key) {
        if (objects[index] === undefined) missing--
        objects[index] = object
      } else {
        keys.splice(index, 0, key)
        objects.splice(index, 0, object)
      }
      if (object === undefined) missing++
    },
    delete(key) {
      const index = search(key)
      if (keys[index] !== key) return
      touch()
      if (objects[index] === undefined) missing--
      keys.splice(index, 1)
      objects.splice(index, 1)
    },
    list(read) {
      if (missing > 0) return keys.map((key, index) => objects[index] ?? read(key))
      given ??= objects as KubeObject[]
      return given
    },
  }
}
