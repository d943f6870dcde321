// The images of the sets in edge-configs, by set and file name, as recipes of oci-image.ts. A test holds them against the manifests.

import { globSync } from 'node:fs'
import type { ImageRecipe } from './oci-image.ts'

const SHELL = [
  'awk',
  'chmod',
  'cp',
  'cut',
  'du',
  'find',
  'ln',
  'mktemp',
  'mv',
  'printf',
  'sed',
  'sha256sum',
  'sort',
  'stty',
  'tar',
  'test',
  'timeout',
  'tr',
  'wc',
]

/** Perl's essential modules as Debian lays them; the folder has the machine's architecture in its name. */
const perlModules = (): string[] => globSync('/usr/lib/*/perl-base')

const perl = (recipe: ImageRecipe): ImageRecipe => {
  const folders = perlModules()
  return {
    ...recipe,
    programs: [...(recipe.programs ?? []), 'perl'],
    folders,
    env: [...(recipe.env ?? []), `PERL5LIB=${folders.join(':')}`],
  }
}

/** Set → file name of the archive without `.tar` → recipe. The set `hello` is scripts/make-hello-image.ts. */
export const edgeImages = (): Readonly<Record<string, Readonly<Record<string, ImageRecipe>>>> => ({
  'cell-tower': {
    'packet-monitor': { name: 'heliopause.local/packet-monitor:1', applets: SHELL, programs: ['tcpdump'] },
    'breakout-cache': { name: 'heliopause.local/breakout-cache:1', applets: SHELL },
  },
  vehicle: {
    vehicle: perl({ name: 'heliopause.local/vehicle:1', applets: SHELL }),
  },
  'factory-cell': {
    'plc-gateway': perl({
      name: 'heliopause.local/plc-gateway:1',
      applets: SHELL,
      programs: ['mosquitto', 'mosquitto_passwd', 'mosquitto_pub'],
    }),
    'press-control': { name: 'heliopause.local/press-control:1', applets: SHELL, programs: ['mosquitto_pub'] },
  },
})
