// helio api-resources: what the server has kinds for.

import { jsonText, yamlText } from './object-text.ts'
import type { Resource } from './resources.ts'
import { plainTable } from './table.ts'
import { outputFlag, type Verb, type VerbContext } from './verb.ts'

const byName = (a: Resource, b: Resource): number => (a.group === b.group ? (a.plural < b.plural ? -1 : 1) : a.group < b.group ? -1 : 1)

const run = async (context: VerbContext): Promise<void> => {
  const { flags, output } = context
  const group = flags.text('api-group')
  const found = (await context.resources()).all
    .filter(
      each => (group === undefined || each.group === group) && (!flags.has('namespaced') || each.namespaced === flags.on('namespaced')),
    )
    .filter(each => each.verbs.length > 0)
    .sort(byName)
  const versionOf = (each: Resource): string => (each.group === '' ? each.version : `${each.group}/${each.version}`)
  const form = flags.text('output')
  if (form === 'json') return output.write(jsonText({ items: found }))
  if (form === 'yaml') return output.write(await yamlText({ items: found }))
  if (form === 'name') return output.write(found.map(each => `${each.plural}${each.group === '' ? '' : `.${each.group}`}\n`).join(''))
  const wide = form === 'wide'
  const headers = ['NAME', 'SHORTNAMES', 'APIVERSION', 'NAMESPACED', 'KIND', ...(wide ? ['VERBS', 'CATEGORIES'] : [])]
  const rows = found.map(each => [
    each.plural,
    each.shortNames.join(',') || ' ',
    versionOf(each),
    String(each.namespaced),
    each.kind,
    ...(wide ? [each.verbs.join(','), each.categories.join(',') || ' '] : []),
  ])
  await output.write(`${plainTable(headers, rows, !flags.on('no-headers')).join('\n')}\n`)
}

export const verb: Verb = {
  name: 'api-resources',
  summary: 'list what the server has kinds for',
  usage: ['api-resources [flags]'],
  connects: true,
  flags: [
    outputFlag(['wide', 'name', 'json', 'yaml']),
    { flag: 'api-group', type: 'text', value: 'GROUP', describe: 'only this group' },
    { flag: 'namespaced', type: 'switch', describe: 'only kinds that live in namespaces, or with =false the others' },
    { flag: 'no-headers', type: 'switch', describe: 'leave out the headers' },
  ],
  examples: [['short names and kinds', 'api-resources']],
  run,
}
