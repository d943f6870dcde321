// argv → role. Roles are imported when they are asked for, so a command line costs no server and an agent no API.

import { isRole } from './main-options.ts'

const main = async (): Promise<number> => {
  const [role, ...rest] = process.argv.slice(2)
  if (!isRole(role) || rest.includes('--help') || rest.includes('-h'))
    return (await import('./main-cli.ts')).runCommand(process.argv.slice(2))
  const code =
    role === 'server' ? await (await import('./main-server.ts')).runServer(rest) : await (await import('./main-agent.ts')).runAgent(rest)
  // Everything is closed and on disk: a handle that someone forgot must not keep a stopped role alive.
  return process.exit(code)
}

main().then(
  code => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exitCode = 1
  },
)
