// node test/power/first-boot.ts: 200 power cuts over the first boot of a flashed device; prints the counts, ends with code 1 on the first
// fault. HELIO_CUTS and HELIO_DRAW draw others.

import { cutFirstBoots } from './first-boot-cuts.ts'

const CUTS_MIN = 200

const cuts = Number(process.env['HELIO_CUTS'] ?? CUTS_MIN)
const seed = process.env['HELIO_DRAW'] ?? 'first boot'

const startedAt = performance.now()
const counts = await cutFirstBoots({ cuts, seed, say: text => console.log(text) })
console.log(JSON.stringify({ ...counts, seed, seconds: Math.round((performance.now() - startedAt) / 1000) }))
