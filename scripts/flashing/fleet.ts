// Seeds for a fleet: one small file a device, from a CSV of devices. Every row is checked before the first file is written; the folder is
// complete, or not there.

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { SEED_FILE } from '../../src/agent/seed.ts'
import { ApiError } from '../../src/base/errors.ts'
import { CSV_BYTES_MAX, type CsvRow, parseCsv } from './csv.ts'
import { Refusal } from './refusal.ts'
import { seedTextOf } from './seed-text.ts'

export interface FleetRequest {
  readonly csv: string
  readonly out: string
  readonly server?: string | undefined
  readonly token?: string | undefined
  readonly link?: string | undefined
}

const LABEL = 'label:'
const COLUMNS = ['name', 'site', 'server', 'link']

interface Device {
  readonly name: string
  readonly text: string
}

const columnsOf = (header: CsvRow | undefined): readonly string[] => {
  if (header === undefined) throw new Refusal('there is no row', 'the first row names the columns: name,site,label:rack')
  const columns = header.fields
  const unknown = columns.find(column => !COLUMNS.includes(column) && !(column.startsWith(LABEL) && column.length > LABEL.length))
  if (unknown !== undefined)
    throw new Refusal(`line ${header.line}: unknown column ${JSON.stringify(unknown)}`, `${COLUMNS.join(', ')}, and label:KEY`)
  const twice = columns.find((column, i) => columns.indexOf(column) !== i)
  if (twice !== undefined) throw new Refusal(`line ${header.line}: two columns are called ${JSON.stringify(twice)}`)
  if (!columns.includes('name')) throw new Refusal(`line ${header.line}: there is no column name`)
  return columns
}

const deviceOf = async (row: CsvRow, columns: readonly string[], { server, token, link }: FleetRequest): Promise<Device> => {
  if (row.fields.length !== columns.length)
    throw new Refusal(`line ${row.line}: ${row.fields.length} fields, the first row has ${columns.length}`)
  const value = (column: string): string | undefined => row.fields[columns.indexOf(column)] || undefined
  const name = value('name')
  if (name === undefined) throw new Refusal(`line ${row.line}: the name is empty`)
  const labels = Object.fromEntries(
    columns.flatMap(column =>
      column.startsWith(LABEL) && value(column) !== undefined ? [[column.slice(LABEL.length), value(column) ?? '']] : [],
    ),
  )
  try {
    const text = await seedTextOf({
      nodeName: name,
      site: value('site'),
      labels,
      server: value('server') ?? server,
      token,
      link: value('link') ?? link,
    })
    return { name, text: text ?? '' }
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof Refusal)) throw error
    throw new Refusal(`line ${row.line}: ${error.message}`, error.hint, { cause: error })
  }
}

const readDevices = async (request: FleetRequest): Promise<readonly Device[]> => {
  const { size } = statSync(request.csv)
  if (size > CSV_BYTES_MAX) throw new Refusal(`${size} bytes, at most ${CSV_BYTES_MAX} are taken`)
  const [header, ...rows] = parseCsv(readFileSync(request.csv, 'utf8'))
  const columns = columnsOf(header)
  if (rows.length === 0) throw new Refusal('it names no device')
  const lines = new Map<string, number>()
  const devices: Device[] = []
  for (const row of rows) {
    const device = await deviceOf(row, columns, request)
    const before = lines.get(device.name)
    if (before !== undefined) throw new Refusal(`line ${row.line}: ${device.name} is in line ${before} already`)
    lines.set(device.name, row.line)
    devices.push(device)
  }
  return devices
}

/** Writes OUT/NAME/heliopause-seed.yaml for each device (0600, a token is in it); answers how many. Nothing is written when a row is refused. */
export const writeSeeds = async (request: FleetRequest): Promise<number> => {
  const out = resolve(request.out)
  if (existsSync(out)) throw new Refusal(`write seeds: ${out} is there already`, 'give a new folder: seeds of another fleet shall not mix')
  if (!existsSync(request.csv)) throw new Refusal(`read ${request.csv}: there is no such file`)
  const devices = await readDevices(request).catch((error: unknown) => {
    throw error instanceof Refusal ? new Refusal(`read ${request.csv}: ${error.message}`, error.hint, { cause: error }) : error
  })
  const draft = `${out}.part`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(dirname(out), { recursive: true })
  mkdirSync(draft, { mode: 0o700 })
  for (const { name, text } of devices) {
    mkdirSync(join(draft, name), { mode: 0o700 })
    writeFileSync(join(draft, name, SEED_FILE), text, { mode: 0o600 })
  }
  renameSync(draft, out)
  return devices.length
}
