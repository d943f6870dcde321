// One program, one file: dist/helio, with SQLite's addon beside it. Roles are imported lazily, so an agent never evaluates server code.

import { chmodSync, copyFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { defineConfig } from 'tsup'

const sqliteAddon = join(dirname(createRequire(import.meta.url).resolve('sqlite3/package.json')), 'build/Release/node_sqlite3.node')

/** Where packaging has it written beside the one in use. */
const outDir = process.env['HELIO_OUT_DIR'] ?? 'dist'

export default defineConfig({
  entry: { helio: 'src/main.ts' },
  format: ['cjs'],
  target: 'node20',
  platform: 'node',
  outDir,
  clean: true,
  minify: true,
  splitting: false,
  noExternal: [/.*/],
  // Optional native speed-ups of ws that we do not ship.
  external: ['bufferutil', 'utf-8-validate'],
  // glibc keeps what Node frees after start-up unless told to give it back: 14 MB of resident memory on an idle device. Node reads each TLS
  // connection into 64 KB of which a page is used: with memory of its own it costs that page, 25 KB less a connected device. Node 24 lets its
  // young generation grow to 128 MB: with 8 MB halves a loaded server is 80 MB smaller and as fast.
  banner: {
    js: '#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=65536 node --max-semi-space-size=8',
  },
  define: {
    'process.env.HELIO_VERSION': JSON.stringify(process.env['HELIO_VERSION'] ?? '0.1.0'),
    // The earliest the present can be; SOURCE_DATE_EPOCH (seconds) makes a build repeatable.
    'process.env.HELIO_BUILT': JSON.stringify(
      new Date(process.env['SOURCE_DATE_EPOCH'] ? Number(process.env['SOURCE_DATE_EPOCH']) * 1000 : Date.now()).toISOString(),
    ),
    'process.env.HELIO_COMMIT': JSON.stringify(process.env['HELIO_COMMIT'] ?? 'unknown'),
    // The key that packaged executables are signed with (SPKI, base64), for `helio version --verify`.
    'process.env.HELIO_RELEASE_KEY': JSON.stringify(process.env['HELIO_RELEASE_KEY'] ?? ''),
  },
  esbuildPlugins: [
    {
      name: 'sqlite-addon-beside-the-bundle',
      setup(build) {
        build.onResolve({ filter: /^bindings$/ }, () => ({ path: 'bindings', namespace: 'sqlite-addon' }))
        build.onLoad({ filter: /.*/, namespace: 'sqlite-addon' }, () => ({
          contents: "module.exports = name => require(require('node:path').join(__dirname, name))",
          loader: 'js',
        }))
      },
    },
  ],
  onSuccess: async () => {
    renameSync(join(outDir, 'helio.cjs'), join(outDir, 'helio'))
    copyFileSync(sqliteAddon, join(outDir, 'node_sqlite3.node'))
    writeFileSync(join(outDir, 'package.json'), '{"type":"commonjs"}\n')
    chmodSync(join(outDir, 'helio'), 0o755)
  },
})
