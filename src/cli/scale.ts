// helio scale: the /scale subresource, with an optional precondition.

import { isObject } from '../base/json.ts'
import { Failure, isNotFound, type Refused, usage } from './failure.ts'
import { pathOf, singularOf } from './resources.ts'
import { namedOf } from './target.ts'
import { outputFlag, type Verb, type VerbContext } from './verb.ts'

const run = async (context: VerbContext): Promise<void> => {
  const { flags } = context
  const replicas = flags.number('replicas')
  const expected = flags.number('current-replicas')
  if (replicas === undefined || replicas < 0)
    throw usage('the --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0')
  const client = await context.client()
  const namespace = await context.namespace()
  for (const { resource, name } of namedOf(context.words, await context.resources())) {
    const path = pathOf(resource, namespace, name, 'scale')
    try {
      const scale = expected === undefined ? undefined : await client.json('GET', path)
      const spec = isObject(scale?.['spec']) ? scale['spec'] : {}
      const present = Number(spec['replicas'] ?? 0)
      if (scale !== undefined && present !== expected)
        throw new Failure(`${singularOf(resource)}/${name}: expected replicas to be ${expected}, was ${present}`)
      const metadata = isObject(scale?.['metadata']) ? { metadata: { resourceVersion: scale['metadata']['resourceVersion'] } } : {}
      await client.json('PATCH', path, { body: { ...metadata, spec: { replicas } }, contentType: 'application/merge-patch+json' })
      await context.output.line(`${singularOf(resource)}/${name}${flags.text('output') === 'name' ? '' : ' scaled'}`)
    } catch (error) {
      // The bare "could not find the requested resource" says nothing of which.
      const bare = isNotFound(error) && !(error as Refused).status.details?.name
      context.complain(
        bare
          ? new Failure(`${resource.plural} cannot be scaled`, { cause: error, hint: 'scale the deployment or replica set they belong to' })
          : error,
      )
    }
  }
}

export const verb: Verb = {
  name: 'scale',
  summary: 'set the number of replicas',
  usage: ['scale TYPE/NAME… --replicas=COUNT', 'scale TYPE NAME… --replicas=COUNT'],
  connects: true,
  flags: [
    { flag: 'replicas', type: 'number', value: 'COUNT', describe: 'how many there are to be' },
    { flag: 'current-replicas', type: 'number', value: 'COUNT', describe: 'only when there are this many now' },
    outputFlag(['name']),
  ],
  examples: [
    ['eight pods', 'scale deployment/web --replicas=8'],
    ['only from three', 'scale deploy/web --current-replicas=3 --replicas=8'],
  ],
  run,
}
