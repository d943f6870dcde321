// helio image: the image store of this device, by file; no server and no registry is asked.

import { resolve } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { translateTimestampSince } from '../kinds/duration.ts'
import type { CliImage } from './cli.ts'
import { Failure, usage } from './failure.ts'
import { jsonText, yamlText } from './object-text.ts'
import { bytesText, openProgress } from './progress.ts'
import { didYouMean } from './suggest.ts'
import { plainTable } from './table.ts'
import { DATA_DIR_FLAG, outputFlag, type Verb, type VerbContext } from './verb.ts'

/** `name` and `tag` of a full reference: the tag follows the last colon after the last slash. */
const splitName = (name: string): [string, string] => {
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/') ? [name.slice(0, colon), name.slice(colon + 1)] : [name, '<none>']
}

const shortId = (id: string): string => id.slice(id.indexOf(':') + 1, id.indexOf(':') + 13)

/** A row per name; an image without one has a row too. */
export const imageRows = (images: readonly CliImage[], nowMs: number): string[][] =>
  images
    .flatMap(image => (image.names.length > 0 ? image.names : ['<none>:<none>']).map(name => ({ image, name })))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ image, name }) => [
      ...splitName(name),
      shortId(image.id),
      bytesText(image.sizeBytes),
      translateTimestampSince(image.importedAt, nowMs),
    ])

const OWNER_HINT = 'the data folder belongs to another user: run as root or as that user, or give --data-dir'

const importOne = async (context: VerbContext, file: string): Promise<readonly CliImage[]> => {
  const { deps, flags, output } = context
  const progress = openProgress(output, deps.clock)
  const name = flags.text('name')
  try {
    progress.show(`importing ${file}`)
    return await deps.importImages(context.dataDir, resolve(file), {
      ...(name === undefined ? {} : { name }),
      signal: context.signal,
      onProgress: (done, total) =>
        progress.show(
          `importing ${file}: ${bytesText(done)} of ${bytesText(total)} (${total === 0 ? 100 : Math.floor((done / total) * 100)} %)`,
        ),
    })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new Failure(`import ${file}: no such file`, { cause })
    if (code === 'EACCES' || code === 'EPERM') throw new Failure(`import ${file}: ${messageOf(cause)}`, { cause, hint: OWNER_HINT })
    if (code === 'ENOSPC')
      throw new Failure(`import ${file}: no space left on the device`, {
        cause,
        hint: `free some below ${context.dataDir}; nothing was changed`,
      })
    throw new Failure(`import ${file}: ${messageOf(cause)}`, { cause })
  } finally {
    progress.done()
  }
}

const importImages = async (context: VerbContext, files: readonly string[]): Promise<void> => {
  if (files.length === 0) throw usage('name the archive or layout folder to import', 'helio image import web.tar')
  if (files.length > 1 && context.flags.has('name')) throw usage('--name goes with one file')
  const imported: CliImage[] = []
  for (const file of files) {
    try {
      const images = await importOne(context, file)
      imported.push(...images)
      if (!context.flags.has('output'))
        for (const image of images) for (const name of image.names) await context.output.line(`${name} imported (${shortId(image.id)})`)
    } catch (error) {
      context.complain(error)
    }
  }
  await printList(context, imported, false)
}

const printList = async (context: VerbContext, images: readonly CliImage[], asTable: boolean): Promise<void> => {
  const { flags, output } = context
  const form = flags.text('output')
  if (form === 'json') return output.write(jsonText({ items: images }))
  if (form === 'yaml') return output.write(await yamlText({ items: images }))
  if (form === 'name') return output.write(images.flatMap(image => image.names.map(name => `${name}\n`)).join(''))
  if (!asTable) return
  if (images.length === 0) return output.note(`No images in ${context.dataDir}`)
  const rows = imageRows(images, context.deps.clock.now())
  await output.write(`${plainTable(['IMAGE', 'TAG', 'IMAGE ID', 'SIZE', 'AGE'], rows, !flags.on('no-headers')).join('\n')}\n`)
}

const run = async (context: VerbContext): Promise<void> => {
  const [word, ...words] = context.words
  if (word === 'import') return importImages(context, words)
  if (word === 'list' || word === 'ls') {
    if (words.length > 0) throw usage(`unexpected argument ${JSON.stringify(words[0])}`)
    const images = await context.deps.listImages(context.dataDir).catch((cause: unknown) => {
      const denied = ['EACCES', 'EPERM'].includes((cause as NodeJS.ErrnoException).code ?? '')
      throw denied ? new Failure(`list images in ${context.dataDir}: permission denied`, { cause, hint: OWNER_HINT }) : cause
    })
    return printList(context, images, true)
  }
  const near = word === undefined ? undefined : didYouMean(word, ['import', 'list'])
  throw usage(
    word === undefined ? 'say what: image import, image list' : `unknown command "image ${word}"`,
    near ?? 'there is: image import, image list',
  )
}

export const verb: Verb = {
  name: 'image',
  summary: 'import and list the images of this device',
  usage: ['image import FILE|FOLDER… [--name NAME]', 'image list'],
  subverbs: ['import', 'list'],
  connects: false,
  flags: [
    { flag: 'name', type: 'text', value: 'NAME', describe: 'name the image so instead of as the archive does' },
    DATA_DIR_FLAG,
    outputFlag(['json', 'yaml', 'name', 'wide']),
    { flag: 'no-headers', type: 'switch', describe: 'leave out the headers' },
  ],
  examples: [
    ['an archive made by skopeo, docker save or buildah', 'image import web.tar'],
    ['one without a name', 'image import web.tar --name registry.example.com/web:2'],
    ['what is there', 'image list'],
  ],
  run,
}
