// Which of two versions is older. Source: semver 2.0.0 §11; build metadata counts for nothing.

const VERSION = /^v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/

const comparePart = (a: string, b: string): number => {
  const [an, bn] = [/^\d{1,15}$/.test(a), /^\d{1,15}$/.test(b)]
  if (an && bn) return Number(a) - Number(b)
  if (an !== bn) return an ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

const comparePre = (a: string | undefined, b: string | undefined): number => {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1
  const [as, bs] = [a.split('.'), b.split('.')]
  for (let i = 0; i < Math.min(as.length, bs.length); i++) {
    const order = comparePart(as[i] ?? '', bs[i] ?? '')
    if (order !== 0) return order
  }
  return as.length - bs.length
}

/** True when `a` is known to be older than `b`; what is no version is neither older nor newer. */
export const isOlder = (a: string, b: string): boolean => {
  const [found, other] = [VERSION.exec(a), VERSION.exec(b)]
  if (!found || !other) return false
  for (let i = 1; i <= 3; i++) {
    const order = Number(found[i]) - Number(other[i])
    if (order !== 0) return order < 0
  }
  return comparePre(found[4], other[4]) < 0
}
