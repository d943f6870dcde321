import t from 'tap'
import type { CliImage } from '../../../src/cli/cli.ts'
import { runHelio } from './world.ts'

const IMAGE: CliImage = {
  id: `sha256:${'a'.repeat(64)}`,
  names: ['heliopause.local/web:1', 'docker.io/library/web:latest'],
  sizeBytes: 4_260_000,
  importedAt: '2020-01-01T00:00:00Z',
}
const images = {
  importImages: async (): Promise<CliImage[]> => [IMAGE],
  listImages: async (): Promise<CliImage[]> => [IMAGE, { ...IMAGE, names: [] }],
}

t.test('list shows a row per name', async t => {
  const { stdout } = await runHelio(['image', 'list'], '/d', { images })
  t.match(
    stdout,
    /^IMAGE +TAG +IMAGE ID +SIZE +AGE\n<none> +<none> +aaaaaaaaaaaa +4.26MB +\S+\ndocker.io\/library\/web +latest .*\nheliopause.local\/web +1 /,
  )
  t.equal(JSON.parse((await runHelio(['image', 'list', '-o', 'json'], '/d', { images })).stdout).items.length, 2)
  t.equal((await runHelio(['image', 'list'], '/d')).stderr, 'No images in /d\n')
})

t.test('import says what came, and hands path, name and data dir on', async t => {
  const calls: unknown[] = []
  const importImages = async (dataDir: string, path: string, options: { name?: string }): Promise<CliImage[]> => {
    calls.push([dataDir, path, options.name])
    return [IMAGE]
  }
  const ran = await runHelio(['image', 'import', '/x.tar', '--name', 'web', '--data-dir', '/data'], '/d', {
    images: { ...images, importImages },
  })
  t.equal(ran.stdout, 'heliopause.local/web:1 imported (aaaaaaaaaaaa)\ndocker.io/library/web:latest imported (aaaaaaaaaaaa)\n')
  t.same(calls, [['/data', '/x.tar', 'web']])
})

t.test('a failed import is one line with the file’s name and code 1', async t => {
  const importImages = async (): Promise<CliImage[]> => {
    throw new Error('verify layer sha256:1: wrong')
  }
  t.same(await runHelio(['image', 'import', 'x.tar'], '/d', { images: { ...images, importImages } }), {
    code: 1,
    stdout: '',
    stderr: 'error: import x.tar: verify layer sha256:1: wrong\n',
  })
  t.match(await runHelio(['image', 'import'], '/d'), { code: 2 })
  t.match(await runHelio(['image', 'lst'], '/d'), { code: 2, stderr: /did you mean list\?/ })
})
