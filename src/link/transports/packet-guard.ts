// Watches the fixed headers of MQTT packets go by, for a parser that would gather whatever length it is told: a packet above the bound is
// refused by its first bytes. Allocates nothing. Source: MQTT 5 sections 1.5.5 and 2.1.4.

const LENGTH_BYTES_MAX = 4

export class PacketGuard {
  readonly #bytesMax: number
  /** Bytes of the present packet still to come; undefined while its length is being read. */
  #left: number | undefined
  #length = 0
  #read = -1

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** False from the packet on that is too large, or whose length is none; nothing is to be believed afterwards. */
  take(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length; ) {
      if (this.#left !== undefined) {
        const used = Math.min(this.#left, chunk.length - at)
        this.#left -= used
        at += used
        if (this.#left === 0) this.#left = undefined
      } else if (!this.#header(chunk[at++]!)) return false
    }
    return true
  }

  #header(byte: number): boolean {
    this.#read++
    // The first byte is the packet's type.
    if (this.#read === 0) return true
    this.#length += (byte & 127) * 128 ** (this.#read - 1)
    if (this.#length > this.#bytesMax) return false
    if (byte & 128) return this.#read < LENGTH_BYTES_MAX
    this.#left = this.#length > 0 ? this.#length : undefined
    this.#length = 0
    this.#read = -1
    return true
  }
}
