import t from 'tap'
import { parseReference } from '../../../../src/agent/images/reference.ts'

const digest = `sha256:${'a'.repeat(64)}`

t.test('completes names as Docker and containerd do', async t => {
  const full: Record<string, string> = {
    busybox: 'docker.io/library/busybox:latest',
    'busybox:1.36': 'docker.io/library/busybox:1.36',
    'team/app': 'docker.io/team/app:latest',
    'docker.io/busybox': 'docker.io/library/busybox:latest',
    'index.docker.io/library/busybox:1': 'docker.io/library/busybox:1',
    'localhost/app:1': 'localhost/app:1',
    'localhost:5000/app': 'localhost:5000/app:latest',
    'registry.example.com:5000/a/b/c:v1.2_3': 'registry.example.com:5000/a/b/c:v1.2_3',
    'heliopause.local/hello:1': 'heliopause.local/hello:1',
  }
  for (const [short, long] of Object.entries(full)) t.equal(parseReference(short)?.name, long, short)
})

t.test('keeps the digest apart and adds no tag beside it', async t => {
  t.same(parseReference(`busybox@${digest}`), { name: 'docker.io/library/busybox', digest })
  t.same(parseReference(`busybox:1@${digest}`), { name: 'docker.io/library/busybox:1', digest })
})

t.test('refuses what is no image name', async t => {
  for (const bad of ['', 'UPPER', 'a b', 'a//b', '../a', 'a:', 'a@sha256:12', `${'a'.repeat(300)}`, '-a', 'a:t g', '/a', 'a/'])
    t.equal(parseReference(bad), undefined, JSON.stringify(bad))
})
