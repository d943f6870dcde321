// A token bucket as a plain record: who may do something now, and how long the others wait. PURE but for the record it is given.

export interface Bucket {
  tokens: number
  atMs: number
}

export const newBucket = (burst: number): Bucket => ({ tokens: burst, atMs: Number.NEGATIVE_INFINITY })

/** Takes a token: 0; or the milliseconds until there is one. */
export const takeToken = (bucket: Bucket, ratePerSecond: number, burst: number, nowMs: number): number => {
  bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) * ratePerSecond) / 1000)
  bucket.atMs = nowMs
  if (bucket.tokens < 1) return Math.max(1, Math.ceil(((1 - bucket.tokens) * 1000) / ratePerSecond))
  bucket.tokens--
  return 0
}
