import t from 'tap'
import { initScript, openRcScript } from '../../../../src/host/install/init-script.ts'
import { unitText } from '../../../../src/host/install/unit.ts'

const base = { dataDir: '/var/lib/heliopause', program: '/usr/local/bin/helio', systemdVersion: 252, canNotify: true } as const
const agent = unitText({ ...base, role: 'agent', startsPods: true, configFile: '/etc/heliopause/agent.yaml' })
const controlPlane = unitText({ ...base, role: 'server', startsPods: false, configFile: '/etc/heliopause/server.yaml' })

const directives = (text: string): readonly string[] => text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
const names = (text: string): readonly string[] => directives(text).map(line => line.split('=')[0] ?? '')

t.test('whatever starts pods gets nothing that its containers would inherit, and no mount namespace', async t => {
  const harmful =
    /^(Private(Tmp|Devices|Mounts|Users|Network)|Protect\w+|ReadWritePaths|ReadOnlyPaths|InaccessiblePaths|NoNewPrivileges|SystemCall\w+|Restrict(AddressFamilies|Namespaces|Realtime|SUIDSGID)|LockPersonality|MemoryDenyWriteExecute|RootDirectory|MountFlags|DynamicUser)$/
  t.same(
    names(agent).filter(name => harmful.test(name)),
    [],
  )
  const both = unitText({ ...base, role: 'server', startsPods: true, configFile: '/etc/heliopause/server.yaml' })
  t.same(
    names(both).filter(name => harmful.test(name)),
    [],
  )
  t.ok(names(agent).includes('CapabilityBoundingSet'))
})

t.test('a control plane alone is closed in', async t => {
  for (const line of [
    'ProtectSystem=strict',
    'PrivateTmp=yes',
    'NoNewPrivileges=yes',
    'ReadWritePaths=/var/lib/heliopause',
    'ProtectHome=yes',
  ])
    t.ok(directives(controlPlane).includes(line), line)
  const home = unitText({ ...base, role: 'server', startsPods: false, configFile: '/x', dataDir: '/home/pi/helio' })
  t.ok(directives(home).includes('ProtectHome=read-only'), 'a data folder among homes stays in sight')
})

t.test('nothing waits for a network, containers outlive the role, and it is started again for ever', async t => {
  for (const text of [agent, controlPlane]) {
    t.notMatch(directives(text).join('\n'), /network-online/)
    for (const line of ['KillMode=process', 'Restart=always', 'StartLimitIntervalSec=0', 'Type=notify'])
      t.ok(directives(text).includes(line), line)
  }
})

t.test('every directive has its reason before it, but for those that say what is started', async t => {
  for (const text of [agent, controlPlane])
    for (const block of text.split('\n\n').filter(each => !each.startsWith('# Written')))
      if (!/^(\[\w+\]\n)?(#|Description|ExecStart|WantedBy|Restrict)/.test(block)) t.fail(`no reason: ${block}`)
})

t.test('without systemd-notify it is not waited for', async t => {
  const text = unitText({ ...base, role: 'agent', startsPods: true, configFile: '/c', canNotify: false })
  t.notMatch(directives(text).join('\n'), /notify|Watchdog/)
})

t.test('pauses grow where systemd can lengthen them', async t => {
  t.notMatch(agent, /RestartSteps/)
  t.match(unitText({ ...base, role: 'agent', startsPods: true, configFile: '/c', systemdVersion: 254 }), /^RestartSteps=\d+$/m)
})

t.test('odd paths stay one word', async t => {
  const text = unitText({ ...base, role: 'agent', startsPods: true, configFile: '/a b/%c.yaml', dataDir: '/d "x"' })
  t.match(text, 'agent --config "/a b/%%c.yaml"')
  t.match(text, 'RequiresMountsFor="/d \\"x\\""')
  t.match(initScript({ role: 'agent', program: "/it's", configFile: '/c' }), `PROGRAM='/it'\\''s'`)
  t.match(openRcScript({ role: 'agent', program: '/p', configFile: '/c' }), /^respawn_max=0$/m)
})
