// The browser's part of test_browser.py: node browser.mjs JOB, the outcome in JSON on stdout.
//
// Job: {executable, profile, page, endpoint, size, pauseAt, uploadBytesPerSecond, limitMs}

import { chromium } from 'playwright-core'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

async function main(job) {
  // The script ends by itself: Playwright ends the browser when its process exits, but could not
  // if it were killed.
  setTimeout(() => {
    console.error(`not done after ${job.limitMs} ms`)
    process.exit(1)
  }, job.limitMs)
  const context = await chromium.launchPersistentContext(job.profile, {
    executablePath: job.executable,
    headless: true,
    args: FLAGS,
  })
  try {
    return await drive(context, job)
  } finally {
    await context.close()
  }
}

async function drive(context, { page: address, endpoint, size, pauseAt, uploadBytesPerSecond }) {
  const page = context.pages()[0] ?? (await context.newPage())
  const complaints = []
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  const session = await context.newCDPSession(page)
  const throttle = (uploadThroughput) =>
    session.send('Network.emulateNetworkConditions', {
      offline: false, latency: 0, downloadThroughput: -1, uploadThroughput,
    })

  await session.send('Network.enable')
  await page.goto(address)
  await throttle(uploadBytesPerSecond)
  const begun = await page.evaluate((args) => begin(...args), [endpoint, size, pauseAt])

  await page.reload()
  await throttle(-1)
  const resumed = await page.evaluate((args) => resume(...args), [endpoint, size])
  const streamed = await page.evaluate((args) => stream(...args), [endpoint, 3 * 1024 * 1024])
  const unexpected = complaints.splice(0)

  const ask = (...args) => page.evaluate((given) => request(...given), args)
  const tus = { 'Tus-Resumable': '1.0.0' }
  const conflict = await ask(
    'PATCH',
    resumed.url,
    { ...tus, 'Upload-Offset': '5', 'Content-Type': 'application/offset+octet-stream' },
    'x',
  )
  const unknown = await ask('DELETE', `${endpoint}${'0'.repeat(32)}`, tus)
  const head = await ask('HEAD', resumed.url, tus)
  await page.evaluate((url) => terminate(url), streamed.url)
  return { begun, resumed, streamed, conflict, unknown, head, unexpected }
}

console.log(JSON.stringify(await main(JSON.parse(process.argv[2]))))
process.exit(0)
