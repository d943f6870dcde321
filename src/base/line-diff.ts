// The difference of two texts by lines: what goes, what comes, with a little of what stays around it. Pure.

/** Lines that stay are shown this near to a change. */
const CONTEXT_LINES = 2

type Mark = ' ' | '-' | '+'

/** Lengths of the longest common subsequences of all ends; n × m, so callers bound the lines. */
const commonLengths = (before: readonly string[], after: readonly string[]): readonly Uint16Array[] => {
  const rows = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1))
  for (let i = before.length - 1; i >= 0; i--)
    for (let j = after.length - 1; j >= 0; j--)
      rows[i]![j] = before[i] === after[j] ? rows[i + 1]![j + 1]! + 1 : Math.max(rows[i + 1]![j]!, rows[i]![j + 1]!)
  return rows
}

const linesOf = (text: string): readonly string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'))

/** Lines beginning with `-`, `+` or blank; nothing for equal texts. Texts of more than `linesMax` lines: one line that tells how many. */
export const lineDiff = (before: string, after: string, linesMax: number): readonly string[] => {
  if (before === after) return []
  const [a, b] = [linesOf(before), linesOf(after)]
  if (a.length > linesMax || b.length > linesMax) return [`(${a.length} lines become ${b.length})`]
  const common = commonLengths(a, b)
  const marked: (readonly [Mark, string])[] = []
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      marked.push([' ', a[i]!])
      i++
      j++
    } else if (i < a.length && (j === b.length || common[i + 1]![j]! >= common[i]![j + 1]!)) marked.push(['-', a[i++]!])
    else marked.push(['+', b[j++]!])
  }
  const near = (at: number): boolean => marked.slice(Math.max(0, at - CONTEXT_LINES), at + CONTEXT_LINES + 1).some(([mark]) => mark !== ' ')
  return marked.flatMap(([mark, line], at) => (near(at) ? [`${mark} ${line}`] : []))
}
