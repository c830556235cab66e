// tus-js-client with a record of what it sent and got. Nothing here knows a scenario.

import * as tus from 'tus-js-client'

export const RETRY_DELAYS_MS = [0, 100, 200, 400, 800, 1600, 3200]

/**
 * Make an upload whose requests are written down.
 *
 * @param {Buffer | import('stream').Readable} source
 * @param {object} options tus-js-client's own
 * @returns {{upload: tus.Upload, requests: object[], finished: Promise<void>}} `finished` settles
 *   when the upload has succeeded or tus-js-client has given up.
 */
export function recorded(source, options) {
  const requests = []
  let upload
  const finished = new Promise((resolve, reject) => {
    upload = new tus.Upload(source, {
      retryDelays: RETRY_DELAYS_MS,
      ...options,
      onSuccess: () => resolve(),
      onError: reject,
      onBeforeRequest: (request) => {
        requests.push({
          method: request.getMethod(),
          override: request.getHeader('X-HTTP-Method-Override') ?? null,
          sentOffset: asNumber(request.getHeader('Upload-Offset')),
          sentLength: asNumber(request.getHeader('Upload-Length')),
          status: null,
        })
        request.record = requests.at(-1)
      },
      onAfterResponse: (request, response) => {
        Object.assign(request.record, {
          status: response.getStatus(),
          offset: asNumber(response.getHeader('Upload-Offset')),
          length: asNumber(response.getHeader('Upload-Length')),
        })
      },
    })
  })
  return { upload, requests, finished }
}

function asNumber(header) {
  return header === undefined || header === null ? null : Number.parseInt(header, 10)
}
