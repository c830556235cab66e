// One job of tus-js-client, described in JSON on the command line, its outcome in JSON on stdout.
//
// Job: {file, source: "buffer" | "file" | "stream", options, storage, terminate}
//   storage    file of a FileUrlStorage; an upload found there is resumed
//   terminate  URL to terminate instead of uploading
// Lines on stdin while it runs: "abort" stops the upload ("aborted URL" is printed), "start"
// resumes it, "terminate" stops it and deletes it from the server.
// Outcome: {url, error, requests}, the last line printed.

import { closeSync, createReadStream, existsSync, openSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'

import * as tus from 'tus-js-client'

import { recorded } from './client.mjs'

function open(job) {
  if (job.source === 'file') return createReadStream(job.file)
  if (job.source === 'buffer') return readFileSync(job.file)
  return new KnownEnd(readFileSync(job.file))
}

/**
 * A stream that says that it has ended as soon as its last byte is read. Any other that ends at a
 * chunk boundary keeps tus-js-client 4.3.1 waiting for one more byte for ever.
 */
class KnownEnd extends Readable {
  constructor(content) {
    super()
    this.push(content)
    this.push(null)
  }

  read(size) {
    const bytes = super.read(size)
    if (bytes !== null && this.readableLength === 0) super.read(0)
    return bytes
  }

  _read() {}
}

async function main(job) {
  if (job.terminate) {
    await tus.Upload.terminate(job.terminate, { retryDelays: [0] })
    return { url: job.terminate, requests: [] }
  }
  const options = { ...job.options }
  if (job.storage) {
    // The storage wants its file to exist before it locks it.
    if (!existsSync(job.storage)) closeSync(openSync(job.storage, 'a'))
    options.urlStorage = new tus.FileUrlStorage(job.storage)
  }
  const { upload, requests, finished } = recorded(open(job), options)
  const found = job.storage ? await upload.findPreviousUploads() : []
  if (found.length > 0) upload.resumeFromPreviousUpload(found[0])

  const terminated = new Promise((resolve, reject) => {
    createInterface({ input: process.stdin }).on('line', (line) => {
      if (line === 'abort') upload.abort().then(() => console.log(`aborted ${upload.url}`))
      if (line === 'start') upload.start()
      if (line === 'terminate') upload.abort(true).then(resolve, reject)
    })
  })
  upload.start()
  let error = null
  try {
    await Promise.race([finished, terminated])
  } catch (caught) {
    error = String(caught)
  }
  return { url: upload.url, error, requests, found: found.length }
}

console.log(JSON.stringify(await main(JSON.parse(process.argv[2]))))
process.exit(0)
