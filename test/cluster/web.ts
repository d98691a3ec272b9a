/**
 * The page of "dfc web": its answers and who gets them, and the page itself in a real browser, if the machine has
 * Chromium. With SCREENSHOTS=1 the pictures of docs/monitoring.md are made anew.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { request } from 'node:http'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Browser, launch, type Page } from 'puppeteer-core'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { UserOfDfc } from '../fixtures/client.js'
import { temporaryFolder } from '../fixtures/mortal.js'
import { startServers, until } from '../fixtures/servers.js'

t.setTimeout(120_000)
const chromium = [
  process.env.CHROMIUM ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
].find((path) => path !== '' && existsSync(path))
const images = resolve(import.meta.dirname, '../../../docs/images')
const servers = await startServers(t)
const alice = new UserOfDfc(join(temporaryFolder('dfs-web-'), 'alice'), servers.config())
alice.write('song', Buffer.alloc(1_000_000, 7))
alice.write('<img src=x>', 'a name that looks like HTML')
alice.write('empty', '')
for (const words of [
  ['mkdir', 'music'],
  ['put', 'song', '<img src=x>', 'empty', '/'],
  ['put', 'song', 'music'],
  ['put', 'song', 'music/turned\u202egnp.exe'],
]) {
  const { status, problems } = await alice.dfc(...words)
  if (status !== 0) throw new Error(problems)
}
const web: ChildProcess = alice.start(['web'])
let said = ''
web.stdout?.on('data', (bytes: Buffer) => {
  said += bytes.toString()
})
await until(() => /#\S+\n/.test(said))
const url = new URL(/http:\S+/.exec(said)?.[0] ?? '')
const token = url.hash.slice(1)
t.teardown(() => web.kill())

interface Asked {
  readonly path?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

interface Answered {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** Sends a request with exactly these headers, which fetch() would not allow. */
function send({ path = '/api/status', method = 'GET', headers = {} }: Asked): Promise<Answered> {
  return new Promise((done, failed) => {
    const asked = request(
      { host: url.hostname, port: url.port, path, method, headers },
      (answer) => {
        let body = ''
        answer.on('data', (bytes: Buffer) => {
          body += bytes.toString()
        })
        answer.on('end', () =>
          done({ status: answer.statusCode ?? 0, body, headers: answer.headers }),
        )
      },
    )
    asked.once('error', failed)
    asked.end()
  })
}

const authorization = `Bearer ${token}`

t.test('answers go to who has the token, and comes from the page itself', async (t) => {
  t.ok(token.length >= 32)
  t.equal((await send({ headers: { authorization } })).status, 200)
  const refused: readonly (readonly [number, Asked])[] = [
    [401, {}],
    [401, { headers: { authorization: 'Bearer x' } }],
    [401, { headers: { authorization: `Bearer ${token}x` } }],
    [401, { path: `/api/status?token=${token}` }],
    [403, { headers: { authorization, host: 'evil.example' } }],
    [403, { headers: { authorization, origin: 'http://evil.example' } }],
    [403, { headers: { authorization, origin: 'null' } }],
    [403, { headers: { authorization, 'sec-fetch-site': 'cross-site' } }],
    [403, { path: '/', headers: { host: `rebound.example:${url.port}` } }],
    [405, { method: 'POST', headers: { authorization } }],
    [405, { method: 'DELETE', path: '/api/file?path=/song', headers: { authorization } }],
    [404, { path: '/package.json', headers: { authorization } }],
    [404, { path: '/../package.json', headers: { authorization } }],
    [404, { path: '/constructor', headers: { authorization } }],
    [404, { path: '/api/file?path=/nothing', headers: { authorization } }],
  ]
  for (const [status, asked] of refused) {
    const { status: got, body } = await send(asked)
    t.equal(got, status, JSON.stringify(asked))
    t.notMatch(body, /song|alice/)
  }
})

t.test('the page has no secret in it, and may load nothing from elsewhere', async (t) => {
  for (const path of ['/', '/style.css', '/script.js']) {
    const { status, body, headers } = await send({ path })
    t.equal(status, 200)
    t.notMatch(body, new RegExp(`${token}|secret|alice`))
    t.match(headers['content-security-policy'], /^default-src 'none'; .*frame-ancestors 'none'/)
    t.notMatch(headers['content-security-policy'], /unsafe|\*|http/)
    t.equal(headers['x-content-type-options'], 'nosniff')
    t.equal(headers['referrer-policy'], 'no-referrer')
    t.equal(headers['access-control-allow-origin'], undefined)
  }
})

t.test('pages share what was asked of the servers a moment ago', async (t) => {
  const headers = { authorization: `Bearer ${token}` }
  const together = await Promise.all([1, 2, 3].map(() => send({ headers })))
  const soon = await send({ headers })
  for (const { status, body } of [...together, soon]) {
    t.equal(status, 200)
    t.equal(body, soon.body, 'with the same latencies')
  }
  t.match(JSON.parse(soon.body).servers[0].latencyMs, Number)
  await sleep(limits.webStatusAgeMs + 500)
  t.not((await send({ headers })).body, soon.body)
})

t.test('the answers say where pieces are, and what would be missing', async (t) => {
  const answer = async (path: string): Promise<ReturnType<typeof JSON.parse>> =>
    JSON.parse((await send({ path, headers: { authorization } })).body)
  const status = await answer('/api/status')
  t.match(status, { user: 'alice', complete: true, quota: null, repairs: [] })
  const file = await answer('/api/file?path=/song')
  t.equal(file.segmentCount, 1)
  const held = file.segments[0].servers.map((one: { held: number[] }) => one.held.length)
  t.same(held, [2, 2, 2, 2], 'a pair on each server')
  const broken = file.without.filter((one: { isIncomplete: boolean }) => one.isIncomplete)
  t.same(
    broken.map((one: { servers: string[] }) => one.servers.join()),
    ['DFS1,DFS2', 'DFS1,DFS4', 'DFS2,DFS3', 'DFS3,DFS4'],
    'only two neighbours are too many',
  )
  const folder = await answer('/api/folder?path=/')
  t.equal(folder.entries.length, 4)
  const both = folder.without.find(
    (one: { servers: string[] }) => one.servers.join() === 'DFS1,DFS2',
  )
  t.ok(both.incomplete >= 1)
  t.match(await answer('/api/folder?path=/song'), { error: /./ })
})

t.test(
  'in a browser',
  { skip: chromium === undefined && 'there is no Chromium here' },
  async (t) => {
    const browser: Browser = await launch({
      executablePath: chromium ?? '',
      args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    })
    t.teardown(() => browser.close())
    const page: Page = await browser.newPage()
    const problems: string[] = []
    const outside: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text())
    })
    page.on('pageerror', (error) => problems.push(String(error)))
    page.on('request', (asked) => {
      if (new URL(asked.url()).host !== url.host) outside.push(asked.url())
    })
    await page.setViewport({ width: 1000, height: 760 })
    await page.goto(url.href)
    const text = (selector: string): Promise<string> =>
      page.$eval(selector, (element) => element.textContent ?? '')
    const press = async (label: string): Promise<void> => {
      for (const button of await page.$$('button')) {
        const is = await button.evaluate((element) => element.textContent)
        if (is === label) return button.click()
      }
      throw new Error(`there is no button ${label}`)
    }

    await page.waitForFunction('document.querySelectorAll("#servers tbody tr").length === 4')
    await page.waitForFunction('document.querySelectorAll("#files tbody tr").length === 4')
    t.equal(await text('#verdict'), 'All four servers are up and complete.')
    t.match(await text('#files'), '<img src=x>', 'a name is a text')
    t.equal((await page.$$('img')).length, 0, 'and no HTML')
    await shoot(page, 'web-servers')

    await press('song')
    await page.waitForFunction('!document.getElementById("pieces-section").hidden')
    t.equal((await page.$$('#pieces .piece')).length, 8)
    t.match(await text('#file-without'), /DFS1 and DFS2would be incomplete/)
    t.match(await text('#file-without'), /DFS1 and DFS3stays whole/)
    t.equal(await page.evaluate('document.activeElement.id'), 'pieces-title', 'focus follows')
    await shoot(page, 'web-pieces', '#pieces-section')

    await press('music/')
    await page.waitForFunction('document.querySelectorAll("#files tbody tr").length === 2')
    await press('turned\\u202egnp.exe')
    await page.waitForFunction(
      'document.getElementById("pieces-name").textContent === "/music/turned\\\\u202egnp.exe"',
    )
    await press('all files')
    await page.waitForFunction('document.querySelectorAll("#files tbody tr").length === 4')

    await servers.kill(1)
    await page.waitForFunction('document.getElementById("servers").textContent.includes("down")')
    t.match(await text('#verdict'), /Three servers: everything works/)
    t.match(await text('#remarks'), /DFS2 is down/)
    await press('song')
    await page.waitForFunction(
      'document.getElementById("pieces").textContent.includes("DFS2 (down)")',
    )
    t.match(await text('#pieces'), /\(P\d\)/, 'in brackets, for who sees no colours')
    await servers.start(1)

    t.same(await page.evaluate(lookForFaults), [])
    t.same(problems, [], 'the policy has refused nothing')
    t.same(outside, [], 'nothing was asked of others')

    await page.goto(url.href.replace(/#.*/, '#wrong'))
    await page.reload()
    await page.waitForFunction('document.getElementById("verdict").textContent.includes("dfc web")')
  },
)

/** Looks for what a page of tables can do wrong for who cannot see it. It runs in the browser. */
const lookForFaults = `(() => {
  const found = []
  if (document.documentElement.lang === '') found.push('no language')
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1')
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption?.textContent) found.push(table.id + ': no caption')
    for (const cell of table.querySelectorAll('th')) {
      if (cell.scope === '') found.push(table.id + ': a heading without a scope')
    }
  }
  for (const button of document.querySelectorAll('button')) {
    if (!button.textContent) found.push('a button without a name')
  }
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id)
  if (new Set(ids).size !== ids.length) found.push('an id twice')
  return found
})()`

async function shoot(page: Page, name: string, selector?: string): Promise<void> {
  if (process.env.SCREENSHOTS !== '1') return
  mkdirSync(images, { recursive: true })
  const element = selector === undefined ? page : await page.$(selector)
  await element?.screenshot({ path: `${join(images, name)}.png` })
}

t.test('has no connection to a server while no page asks, and answers again then', async (t) => {
  await until(() => connectionsToServers() === 0, 2 * limits.webIdleMs)
  const path = '/api/folder?path=/'
  t.equal((await send({ path, headers: { authorization } })).status, 200)
  t.not(connectionsToServers(), 0)
})

/** Counts the connections of the command to the servers: proc_pid_fd(5), proc_pid_net(5). */
function connectionsToServers(): number {
  const fds = `/proc/${web.pid}/fd`
  const own = new Set<string>()
  for (const fd of readdirSync(fds)) {
    try {
      own.add(readlinkSync(join(fds, fd)))
    } catch {
      // It was closed meanwhile.
    }
  }
  const ports = [0, 1, 2, 3].map((index) => servers.port(index))
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)
  return lines.filter((line) => {
    const fields = line.trim().split(/\s+/)
    const port = Number.parseInt(fields[2]?.split(':')[1] ?? '', 16)
    return ports.includes(port) && own.has(`socket:[${fields[9]}]`)
  }).length
}

t.test('ends at once when it is told to', async (t) => {
  web.kill('SIGINT')
  await until(() => web.exitCode !== null, 5_000)
  t.equal(web.exitCode, 130)
})

t.test('says when the port is taken, or is none', async (t) => {
  const taken = await alice.dfc('web', '--port', `${servers.port(0)}`)
  t.equal(taken.status, 1)
  t.match(taken.problems, /dfc: cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/)
  const none = await alice.dfc('web', '--port', 'x')
  t.match(none.problems, /--port x: expected a number from 0 to 65535/)
})
