// node test/power/install.ts: 200 power cuts over `helio install` and `helio uninstall`; prints the counts, ends with code 1 on the first
// fault. HELIO_CUTS and HELIO_DRAW draw others.

import { cutInstalls } from './install-cuts.ts'

const CUTS_MIN = 200

const cuts = Number(process.env['HELIO_CUTS'] ?? CUTS_MIN)
const seed = process.env['HELIO_DRAW'] ?? 'install'

const startedAt = performance.now()
const counts = await cutInstalls({ cuts, seed, say: text => console.log(text) })
console.log(JSON.stringify({ ...counts, seed, seconds: Math.round((performance.now() - startedAt) / 1000) }))
