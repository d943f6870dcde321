import t from 'tap'
import { configurationOf } from '../../../../src/host/install/configuration.ts'

const TOKEN = `helio1.${'a'.repeat(64)}.secret`
const HEAD = 'apiVersion: heliopause.io/v1\nkind: AgentConfiguration\n'

t.test('a new configuration holds what was given and no token', async t => {
  const made = configurationOf('agent', undefined, { server: 'https://a:1', token: TOKEN, 'node-name': 'x' })
  t.equal(made.token, TOKEN)
  t.notMatch(made.text, 'helio1')
  t.match(made.text, 'nodeName: x\n')
  t.equal(made.dataDir, '/var/lib/heliopause')
})

t.test('what people wrote stays, byte for byte when nothing is set', async t => {
  const own = `${HEAD}# mine\nserver:   https://a:1   # odd blanks\n`
  t.equal(configurationOf('agent', own, {}).text, own)
  const changed = configurationOf('agent', own, { link: 'mqtt,ws' }).text
  t.match(changed, '# mine')
  t.match(changed, 'link: mqtt,ws')
  t.equal(configurationOf('agent', changed, { link: 'mqtt,ws' }).text, changed, 'set again, nothing changes')
})

t.test('a token in a file given is taken out', async t => {
  const made = configurationOf('agent', `${HEAD}server: https://a:1\ntoken: ${TOKEN}\n`, {})
  t.equal(made.token, TOKEN)
  t.notMatch(made.text, 'helio1')
})

t.test('ports are numbers, switches are true or false', async t => {
  const made = configurationOf('server', undefined, { port: '7000', 'no-agent': 'true' })
  t.match(made.text, 'port: 7000\n')
  t.match(made.text, 'noAgent: true\n')
  t.equal(made.values['noAgent'], true)
})

t.test('what the role would refuse is refused now, with what to do', async t => {
  const refused = (role: 'server' | 'agent', base: string | undefined, flags: Record<string, string>) => {
    try {
      configurationOf(role, base, flags)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
  t.match(refused('agent', undefined, { server: 'http://a' }), /not https/)
  t.match(refused('agent', undefined, { token: 'helio1.short.x' }), /not a join token/)
  t.match(refused('agent', 'a: [', {}), /not YAML/)
  t.match(refused('server', HEAD, {}), /kind ServerConfiguration/)
  t.match(refused('agent', `${HEAD}nodename: x\n`, {}), /unknown field "nodename"/)
  t.match(refused('server', undefined, { port: '70000' }), /port/)
  t.match(refused('agent', undefined, { 'data-dir': 'relative' }), /not an absolute path/)
})
