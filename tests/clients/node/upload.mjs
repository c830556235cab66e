// node upload.mjs FILE URL [--chunk-size BYTES] [--parallel N] [--metadata KEY=VALUE]...
// Uploads FILE to the creation URL; prints "SECONDS UPLOAD-URL".

import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'

import { recorded } from './client.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'chunk-size': { type: 'string' },
    parallel: { type: 'string', default: '1' },
    metadata: { type: 'string', multiple: true, default: [] },
  },
})
const [file, endpoint] = positionals
if (!file || !endpoint) {
  console.error('usage: upload.mjs FILE URL [--chunk-size N] [--parallel N] [--metadata K=V]...')
  process.exit(2)
}

const metadata = { filename: basename(file) }
for (const pair of values.metadata) {
  const [key, ...rest] = pair.split('=')
  metadata[key] = rest.join('=')
}
const chunkSize = values['chunk-size'] ? Number(values['chunk-size']) : Number.POSITIVE_INFINITY
const { upload, finished } = recorded(createReadStream(file), {
  endpoint,
  metadata,
  chunkSize,
  parallelUploads: Number(values.parallel),
})

const began = performance.now()
upload.start()
try {
  await finished
  console.log(`${((performance.now() - began) / 1000).toFixed(3)} ${upload.url}`)
} catch (error) {
  console.error(String(error))
  process.exitCode = 1
}
