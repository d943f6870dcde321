// The seam for values that are read seldom: bytes put away and read back at once. Nothing in it outlives the process; the journal is
// the durable form. A file stands behind it (spill.ts), or nothing: then every value stays in memory.

/** Bytes put away. Whoever holds it drops it once. */
export interface ColdValue {
  readonly size: number
}

export interface ColdValues {
  /** Throws when there is no space; nothing is kept then. `key`: whose value it is. */
  put(value: Buffer, key: string): ColdValue
  /** The bytes in a buffer of their own. Throws when they are not what was put. */
  get(cold: ColdValue, key: string): Buffer
  drop(cold: ColdValue): void
}

export const isCold = (value: Buffer | ColdValue): value is ColdValue => !Buffer.isBuffer(value)
