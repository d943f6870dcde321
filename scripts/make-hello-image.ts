// usage: node scripts/make-hello-image.ts FILE: writes the OCI archive of edge-configs/hello.

import { writeImage } from './oci-image.ts'

const file = process.argv[2]
if (!file) {
  process.stderr.write('usage: make-hello-image FILE\n')
  process.exit(2)
}
await writeImage(file, { name: 'heliopause.local/hello:1', cmd: ['/bin/httpd', '-f', '-p', '8080', '-h', '/www'] })
