// Field selectors: `spec.nodeName=a,status.phase!=Running`. A backslash escapes `\`, `,` and `=` in values.
// Source: k8s apimachinery pkg/fields.

export interface FieldTerm {
  readonly field: string
  readonly equal: boolean
  readonly value: string
}

/** Cuts at commas that are not escaped. */
const splitTerms = (text: string): string[] => text.match(/(?:\\.|[^,\\]|\\$)+/gs) ?? []

const unescaped = (text: string): string => text.replace(/\\(.)/gs, '$1')

/** The query form (`?fieldSelector=`); which fields a kind knows is checked against `Kind.fields` by the caller. */
export const parseFieldSelector = (
  text: string,
): { readonly ok: readonly FieldTerm[]; readonly problem?: undefined } | { readonly ok?: undefined; readonly problem: string } => {
  const terms: FieldTerm[] = []
  for (const part of splitTerms(text)) {
    const match = /^((?:\\.|[^=!\\])+)(!=|==|=)((?:\\.|[^=\\])*)$/s.exec(part)
    if (!match) return { problem: `invalid selector: '${text}'; can't understand '${part}'` }
    const [, field = '', operator = '', value = ''] = match
    terms.push({ field, equal: operator !== '!=', value: unescaped(value) })
  }
  return { ok: terms }
}

/** A field without a value counts as ''. */
export const matchesFields = (terms: readonly FieldTerm[], values: Readonly<Record<string, string>>): boolean =>
  terms.every(({ field, equal, value }) => ((values[field] ?? '') === value) === equal)
