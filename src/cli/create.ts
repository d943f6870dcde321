// helio create: objects from manifests, and the few kinds that people write by flags. Refused when they exist already.

import type { KubeObject } from '../base/object.ts'
import { dryRunNote, dryRunOf, fieldValidationOf, placed, resourceOf, VALIDATE_FLAG } from './apply.ts'
import { GENERATORS } from './create-generated.ts'
import { usage } from './failure.ts'
import { type Manifest, readManifests } from './manifest.ts'
import { listOf, nameText, objectText } from './object-text.ts'
import { pathOf } from './resources.ts'
import { didYouMean } from './suggest.ts'
import { DRY_RUN_FLAG, FILENAME_FLAGS, outputFlag, type Verb, type VerbContext } from './verb.ts'

const generated = (context: VerbContext): Manifest[] => {
  const [word = '', ...words] = context.words
  const generator = GENERATORS.find(each => each.names.includes(word))
  if (generator) return [{ object: generator.make(words, context.flags, context.rest), from: `create ${word}` }]
  const near = didYouMean(
    word,
    GENERATORS.flatMap(each => [...each.names]),
  )
  throw usage(
    word === '' ? 'give -f FILE or what to create' : `unknown command "create ${word}"`,
    near ?? 'other kinds are created with -f FILE',
  )
}

const createOne = async (context: VerbContext, manifest: Manifest): Promise<Record<string, unknown>> => {
  const dryRun = dryRunOf(context)
  const resource = await resourceOf(context, manifest)
  const object = await placed(context, manifest, resource)
  if (dryRun === 'client') return object
  return (await context.client()).json('POST', pathOf(resource, object.metadata.namespace ?? ''), {
    body: object,
    query: {
      fieldManager: 'kubectl-create',
      fieldValidation: fieldValidationOf(context.flags.text('validate')),
      ...(dryRun === 'server' ? { dryRun: 'All' } : {}),
    },
  })
}

const run = async (context: VerbContext): Promise<void> => {
  const { flags, output } = context
  const files = flags.list('filename')
  const manifests =
    files.length > 0 ? await readManifests(files, { recursive: flags.on('recursive'), stdin: context.deps.stdin }) : generated(context)
  const form = flags.text('output')
  const created: Record<string, unknown>[] = []
  for (const manifest of manifests) {
    try {
      const object = await createOne(context, manifest)
      created.push(object)
      if (form === undefined) await output.line(`${nameText(object as unknown as KubeObject)} created${dryRunNote(dryRunOf(context))}`)
    } catch (error) {
      context.complain(error)
    }
  }
  const [first] = created
  if (form !== undefined && first !== undefined)
    await output.write((await objectText(created.length === 1 ? first : listOf(created), form)) ?? '')
}

export const verb: Verb = {
  name: 'create',
  summary: 'create objects from manifests or from flags',
  usage: [
    'create -f FILE|FOLDER|-',
    'create namespace NAME',
    'create configmap NAME [--from-literal=KEY=VALUE] [--from-file=[KEY=]PATH]',
    'create secret generic NAME [--from-literal=KEY=VALUE] [--from-file=[KEY=]PATH]',
    'create deployment NAME --image=IMAGE [--replicas=N] [-- COMMAND…]',
  ],
  subverbs: GENERATORS.flatMap(each => [...each.names]),
  connects: true,
  flags: [
    ...FILENAME_FLAGS,
    { flag: 'from-literal', type: 'list', value: 'KEY=VALUE', describe: 'configmap, secret: one value; may be repeated' },
    {
      flag: 'from-file',
      type: 'list',
      value: '[KEY=]PATH',
      describe: 'configmap, secret: a file, or each file of a folder; may be repeated',
    },
    { flag: 'from-env-file', type: 'list', value: 'PATH', describe: 'configmap, secret: KEY=VALUE lines of a file' },
    { flag: 'type', type: 'text', value: 'TYPE', describe: 'secret: its type, Opaque unless given' },
    { flag: 'image', type: 'list', value: 'IMAGE', describe: 'deployment: image of a container; may be repeated' },
    { flag: 'replicas', short: 'r', type: 'number', value: 'N', default: '1', describe: 'deployment: how many pods' },
    { flag: 'port', type: 'number', value: 'PORT', describe: 'deployment: the port it serves' },
    DRY_RUN_FLAG,
    VALIDATE_FLAG,
    outputFlag(['json', 'yaml', 'name']),
  ],
  examples: [
    ['a manifest to start from', 'create deployment web --image=web:1 --dry-run=client -o yaml'],
    ['a ConfigMap of files', 'create configmap page --from-file=www/'],
    ['a Secret', 'create secret generic db --from-literal=password=…'],
  ],
  run,
}
