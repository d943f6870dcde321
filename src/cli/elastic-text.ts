// Text with tabs into aligned columns, as Go's text/tabwriter does it for kubectl: a column is a run of adjacent lines that all have the cell,
// and it is as wide as its widest cell. Source: elastic tabstops.

export interface ElasticOptions {
  readonly minWidth: number
  readonly padding: number
}

/** Tables of `get`, and the texts of `describe`. */
export const TABLE: ElasticOptions = { minWidth: 6, padding: 3 }
export const PROSE: ElasticOptions = { minWidth: 0, padding: 2 }

/** Columns a text takes on the screen; colour codes take none. */
export const widthOf = (text: string): number => {
  let width = 0
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what a colour code starts with.
  for (const char of text.replace(/\x1b\[[0-9;]*m/g, ''))
    width +=
      (char.codePointAt(0) ?? 0) >= 0x1100 &&
      /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}/u.test(char)
        ? 2
        : 1
  return width
}

const layOut = (
  lines: readonly (readonly string[])[],
  widths: number[][],
  from: number,
  to: number,
  column: number,
  options: ElasticOptions,
): void => {
  for (let start = from; start < to; start++) {
    if ((lines[start]?.length ?? 0) <= column + 1) continue
    let end = start
    let width = options.minWidth
    while (end < to && (lines[end]?.length ?? 0) > column + 1) {
      width = Math.max(width, widthOf(lines[end]?.[column] ?? '') + options.padding)
      end++
    }
    for (const row of widths.slice(start, end)) row[column] = width
    layOut(lines, widths, start, end, column + 1, options)
    start = end - 1
  }
}

/** Aligns lines of tab-separated cells; the last cell of a line belongs to no column. */
export const alignLines = (lines: readonly string[], options: ElasticOptions): string[] => {
  const cells = lines.map(line => line.split('\t'))
  const widths: number[][] = cells.map(() => [])
  layOut(cells, widths, 0, cells.length, 0, options)
  return cells.map((row, i) =>
    row
      .map((cell, column) =>
        column === row.length - 1 ? cell : cell + ' '.repeat(Math.max(0, (widths[i]?.[column] ?? 0) - widthOf(cell))),
      )
      .join(''),
  )
}
