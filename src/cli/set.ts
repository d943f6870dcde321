// helio set image: new images for the containers of workloads and pods, by a strategic merge patch.

import { isObject } from '../base/json.ts'
import { Failure, usage } from './failure.ts'
import { pathOf, singularOf } from './resources.ts'
import { namedOf } from './target.ts'
import type { Verb, VerbContext } from './verb.ts'

const namesIn = (value: unknown): string[] =>
  Array.isArray(value) ? value.flatMap(item => (isObject(item) && typeof item['name'] === 'string' ? [item['name']] : [])) : []

/** Spec of the pods an object makes, and where it stands. */
const podSpecOf = (
  object: Record<string, unknown>,
): { spec: Record<string, unknown>; wrap: (spec: unknown) => Record<string, unknown> } => {
  const spec = isObject(object['spec']) ? object['spec'] : {}
  const template = isObject(spec['template']) ? spec['template'] : undefined
  if (template === undefined) return { spec, wrap: inner => ({ spec: inner }) }
  return { spec: isObject(template['spec']) ? template['spec'] : {}, wrap: inner => ({ spec: { template: { spec: inner } } }) }
}

const patchFor = (object: Record<string, unknown>, images: ReadonlyMap<string, string>, what: string): Record<string, unknown> => {
  const { spec, wrap } = podSpecOf(object)
  const patch: Record<string, unknown[]> = {}
  const known = ['containers', 'initContainers'].flatMap(list => namesIn(spec[list]).map(name => ({ list, name })))
  for (const [container, image] of images) {
    const found = known.filter(each => container === '*' || each.name === container)
    if (found.length === 0)
      throw new Failure(`unable to find container named ${JSON.stringify(container)} in ${what}`, {
        hint: `it has ${known.map(each => each.name).join(', ')}`,
      })
    for (const { list, name } of found) patch[list] = [...(patch[list] ?? []), { name, image }]
  }
  return wrap(patch)
}

const run = async (context: VerbContext): Promise<void> => {
  const [subverb, ...words] = context.words
  if (subverb !== 'image')
    throw usage(subverb === undefined ? 'say what to set' : `unknown command "set ${subverb}"`, 'helio set image deployment/web app=web:2')
  const images = new Map(
    words.filter(word => word.includes('=')).map(word => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  )
  if (images.size === 0) throw usage('name at least one image, as in CONTAINER=IMAGE')
  const client = await context.client()
  const namespace = await context.namespace()
  const targets = namedOf(
    words.filter(word => !word.includes('=')),
    await context.resources(),
  )
  for (const { resource, name } of targets) {
    try {
      const path = pathOf(resource, namespace, name)
      const body = patchFor(await client.json('GET', path), images, `${singularOf(resource)}/${name}`)
      await client.json('PATCH', path, {
        body,
        contentType: 'application/strategic-merge-patch+json',
        query: { fieldManager: 'kubectl-set' },
      })
      await context.output.line(`${singularOf(resource)}/${name} image updated`)
    } catch (error) {
      context.complain(error)
    }
  }
}

export const verb: Verb = {
  name: 'set',
  summary: 'change the image of containers',
  usage: ['set image TYPE/NAME CONTAINER=IMAGE…'],
  subverbs: ['image'],
  connects: true,
  flags: [],
  examples: [['roll out a new version', 'set image deployment/web app=registry.example.com/web:2']],
  run,
}
