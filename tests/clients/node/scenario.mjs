// One job of tus-js-client, described in JSON on the command line, its outcome in JSON on stdout.
//
// Job: {file, source: "buffer" | "file" | "stream", options, storage, terminate}
//   storage    file of a FileUrlStorage; an upload found there is resumed
//   terminate  URL to terminate instead of uploading
// Lines on stdin while it runs: "abort" stops the upload ("aborted" is printed), "start" resumes
// it, "terminate" stops it and deletes it from the server.
// Outcome: {url, error, requests}, the last line printed.

import { closeSync, createReadStream, existsSync, openSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'

import * as tus from 'tus-js-client'

import { recorded } from './client.mjs'

function open(job) {
  if (job.source === 'file') return createReadStream(job.file)
  if (job.source === 'buffer') return readFileSync(job.file)
  // Wrapped, because tus-js-client looks up the length of a file's own stream.
  return Readable.from(createReadStream(job.file), { objectMode: false })
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
      if (line === 'abort') upload.abort().then(() => console.log('aborted'))
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
