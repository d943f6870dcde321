// fast-check with a seed that stays the same, so that a green tree stays green; `HELIO_DRAW=random` (or a number) looks elsewhere,
// and what it finds becomes an example in the test that found it.

import fc from 'fast-check'

const wanted = process.env['HELIO_DRAW'] ?? '20261122'
if (wanted !== 'random') fc.configureGlobal({ seed: Number(wanted) })

export { fc }
