/** The metrics of a real mount and of real servers, and the dashboard that shows them. */
import { readFileSync, statfsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import t, { type Test } from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcess } from '../fixtures/server-process.js'
import { TestServers, until, withMetrics } from '../fixtures/servers.js'

t.setTimeout(120_000)
const dashboard = resolve(import.meta.dirname, '../../../grafana/dfs.json')
const said: string[] = []
const servers = await TestServers.open(t, (folder, users, port) => {
  withMetrics(users)
  return startServerProcess(folder, users, port, (line) => void said.push(line))
})
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt', '--metrics', '127.0.0.1:0')
const urlsIn = (lines: readonly string[]): string[] =>
  lines.join('\n').match(/http:\/\/127\.0\.0\.1:\d+\/metrics/g) ?? []

/** The values of a scrape, by name with labels as they are written there. */
function valuesOf(text: string): ReadonlyMap<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))]
    }),
  )
}

async function scrape(url = ''): Promise<string> {
  const response = await fetch(url)
  if (response.status !== 200) throw new Error(`${url}: ${response.status}`)
  return response.text()
}

const mountUrl = urlsIn(mount.said)[0] ?? ''

t.test('a mount counts what programs do with it', async (t) => {
  const before = valuesOf(await scrape(mountUrl))
  t.equal(before.get('dfs_mount_info{user="alice"}'), 1)
  await mount.out(
    'head -c 300000 /dev/urandom > f; sync; for i in 1 2 3; do cat f > /dev/null; done',
  )
  await mount.sh('mkdir d; touch d/x; rmdir d; rm d/x; rmdir d')
  const after = valuesOf(await scrape(mountUrl))
  const rise = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0)
  t.equal(rise('dfs_mount_written_bytes_total'), 300_000)
  t.equal(rise('dfs_mount_operation_seconds_count{operation="mkdir"}'), 1)
  t.equal(rise('dfs_mount_operation_seconds_count{operation="rmdir"}'), 2)
  t.ok(rise('dfs_mount_operation_seconds_count{operation="write"}') >= 1)
  t.equal(rise('dfs_mount_error_answers_total{errno="ENOTEMPTY"}'), 1)
  t.equal(rise('dfs_mount_operation_errors_total{operation="rmdir"}'), 0, 'which is no failure')
  t.ok(rise('dfs_quorum_transactions_total{outcome="committed"}') >= 1)
  t.ok(rise('dfs_quorum_rounds_total') >= 1)
  for (const server of ['DFS1', 'DFS2', 'DFS3', 'DFS4']) {
    t.equal(after.get(`dfs_client_server_state{server="${server}",state="up"}`), 1, server)
    t.equal(after.get(`dfs_client_server_state{server="${server}",state="down"}`), 0, server)
    t.ok(rise(`dfs_client_request_seconds_count{server="${server}"}`) >= 1, server)
  }
})

t.test('the buckets of a histogram add up, and their bounds grow', async (t) => {
  const text = await scrape(mountUrl)
  const pattern = /^dfs_mount_operation_seconds_bucket\{operation="lookup",le="([^"]+)"\} (\d+)$/gm
  const buckets = [...text.matchAll(pattern)].map(([, le, count]) => [Number(le), Number(count)])
  t.ok(buckets.length > 10)
  const infinite = /le="\+Inf"\} (\d+)/.exec(text.slice(text.indexOf('operation="lookup"')))
  const count = valuesOf(text).get('dfs_mount_operation_seconds_count{operation="lookup"}')
  t.equal(Number(infinite?.[1]), count)
  for (const [index, [bound = 0, number = 0]] of buckets.slice(1).entries()) {
    const [boundBefore = 0, before = 0] = buckets[index] ?? []
    if (Number.isFinite(bound)) t.ok(bound > boundBefore)
    t.ok(number >= before)
  }
})

t.test('each server counts requests by verb, and what it keeps', async (t) => {
  await until(() => urlsIn(said).length === 4)
  const all = await Promise.all(urlsIn(said).map(async (url) => valuesOf(await scrape(url))))
  const names = all.map((one) => [...one.keys()].find((key) => key.startsWith('dfs_server_info')))
  t.equal(new Set(names).size, 4, 'each says which it is')
  for (const one of all) {
    t.ok((one.get('dfs_server_request_seconds_count{verb="commit"}') ?? 0) > 0)
    t.ok((one.get('dfs_server_votes_total{outcome="yes"}') ?? 0) > 0)
    t.ok((one.get('dfs_server_account_pieces{user="alice"}') ?? 0) >= 2)
    t.ok((one.get('dfs_server_account_piece_bytes{user="alice"}') ?? 0) >= 150_000)
    t.ok((one.get('dfs_server_received_bytes_total') ?? 0) >= 150_000)
    t.ok((one.get('dfs_server_sessions{state="open"}') ?? 0) >= 1)
  }
})

t.test('each server says how much room its disk has, and that it does not fail', async (t) => {
  const { blocks, bavail, bsize } = statfsSync(servers.folders[0] ?? '')
  for (const url of urlsIn(said)) {
    const values = valuesOf(await scrape(url))
    t.equal(values.get('dfs_server_disk_bytes'), blocks * bsize)
    const freeBytes = values.get('dfs_server_disk_free_bytes') ?? 0
    t.ok(Math.abs(freeBytes - bavail * bsize) < 2 ** 30, 'others write there as well')
    for (const kind of ['full', 'failed', 'damaged']) {
      t.equal(values.get(`dfs_server_disk_errors_total{kind="${kind}"}`), 0, kind)
    }
  }
})

t.test('what fails for lack of servers is a failure, by operation and by its name', async (t) => {
  const before = valuesOf(await scrape(mountUrl))
  await servers.kill(2, 3)
  await mount.sh('mkdir never')
  const after = valuesOf(await scrape(mountUrl))
  const rise = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0)
  t.ok(rise('dfs_mount_operation_errors_total{operation="mkdir"}') >= 1)
  const byName = ['EROFS', 'EIO'].map((errno) =>
    rise(`dfs_mount_error_answers_total{errno="${errno}"}`),
  )
  t.ok(byName.some((count) => count >= 1))
  await Promise.all([servers.start(2), servers.start(3)])
})

t.test('a server that went away is down', async (t) => {
  await servers.kill(1)
  const key = 'dfs_client_server_state{server="DFS2",state="down"}'
  let isDown = false
  for (let turn = 0; turn < 100 && !isDown; turn += 1) {
    isDown = valuesOf(await scrape(mountUrl)).get(key) === 1
  }
  t.ok(isDown)
  await servers.start(1)
})

t.test('there are no names of files, paths, addresses or passwords', async (t) => {
  await mount.out('echo hush > very-private-name; sync')
  for (const url of [mountUrl, ...urlsIn(said)]) {
    const text = await scrape(url).catch(() => '')
    t.notMatch(text, /very-private-name|hush|secret|\/tmp|127\.0\.0\.1/, url)
  }
})

t.test('only GET of /metrics is answered, and only under a name of this machine', async (t) => {
  const base = new URL(mountUrl)
  const statusOf = async (path: string, init?: RequestInit): Promise<number> =>
    (await fetch(new URL(path, base), init)).status
  t.equal(await statusOf('/metrics', { method: 'HEAD' }), 200)
  t.equal(await statusOf('/'), 404)
  t.equal(await statusOf('/metrics/../etc/passwd'), 404)
  t.equal(await statusOf('/metrics?x=1'), 404)
  t.equal(await statusOf('/metrics', { method: 'POST', body: 'x' }), 405)
  for (const [host, status] of [
    ['evil.example', 403],
    [`localhost:${base.port}`, 200],
    [`127.0.0.1.evil.example:${base.port}`, 403],
  ] as const) {
    t.equal(await statusWithHost(base, host), status, host)
  }
})

async function statusWithHost(base: URL, host: string): Promise<number> {
  const { request } = await import('node:http')
  return new Promise((done, failed) => {
    request(
      { host: base.hostname, port: base.port, path: '/metrics', headers: { host } },
      (answer) => {
        answer.resume()
        done(answer.statusCode ?? 0)
      },
    )
      .once('error', failed)
      .end()
  })
}

t.test('where the port is taken the next one is used', async (t) => {
  const port = await takenPort(t)
  const other = await mounts.start('other', '--metrics', `127.0.0.1:${port}`)
  const url = new URL(urlsIn(other.said)[0] ?? '')
  t.ok(Number(url.port) > port)
  t.match(await scrape(url.href), /dfs_mount_info/)
  await other.end()
})

t.test('an address that cannot be had is a warning, and the mount goes on', async (t) => {
  // 127.0.0.1 under a port that only root may have is no error for root: an address that is nobody's is.
  const other = await mounts.start('third', '--metrics', 'public 192.0.2.1:9464')
  t.match(other.said.join(''), /warning there are no metrics: cannot listen on 192\.0\.2\.1:9464/)
  t.equal(await other.out('ls f'), 'f')
  await other.end()
})

t.test('others than this machine must be let in by name', async (t) => {
  const { status, problems } = await mounts.run('--metrics', '0.0.0.0:9464', mounts.folder('never'))
  t.equal(status, 78)
  t.match(problems, /--metrics 0\.0\.0\.0:9464: expected an address of this machine/)
})

t.test('the dashboard asks for nothing that there is not', async (t) => {
  const { panels, templating } = JSON.parse(readFileSync(dashboard, 'utf8'))
  const asked: string[] = [...panels, ...templating.list].flatMap(
    ({ targets = [], definition = '' }) => [
      definition,
      ...targets.map(({ expr }: { expr: string }) => expr),
    ],
  )
  // The server that was started last is there: another one may have been killed.
  const texts = [await scrape(mountUrl), await scrape(urlsIn(said).at(-1))]
  const samples = texts.flatMap((text) => [...valuesOf(text).keys()])
  // Of gauges and counters without a value yet only the type is there.
  const types = texts.flatMap((text) => text.match(/(?<=^# TYPE )\w+/gm) ?? [])
  const there = new Set([...samples.map((key) => key.replace(/\{.*/, '')), ...types])
  const labels = new Set(samples.flatMap((key) => key.match(/\w+(?==")/g) ?? []))
  let count = 0
  for (const expr of asked) {
    for (const name of expr.match(/\b(dfs|process)_\w+/g) ?? []) {
      count += 1
      t.ok(there.has(name), name)
    }
    for (const [, by = ''] of expr.matchAll(/by \(([^)]*)\)/g)) {
      for (const label of by.split(/, */)) {
        if (label !== 'instance') t.ok(labels.has(label), `the label ${label}`)
      }
    }
  }
  t.ok(count > 30)
  const counters = new Set(
    texts.flatMap((text) => text.match(/(?<=^# TYPE )\w+(?= (?:counter|histogram)$)/gm) ?? []),
  )
  for (const expr of asked) {
    for (const { name, rated } of ratedIn(expr)) {
      const counted = name.replace(/_(bucket|sum|count)$/, '')
      t.equal(rated, counters.has(counted), `${name} in ${expr}`)
    }
  }
  const ids = panels.map(({ id }: { id: number }) => id)
  t.equal(new Set(ids).size, ids.length, 'each panel has its own id')
})

/** The metrics in an expression of PromQL, and whether each is taken as a rate. Names of labels are none. */
function ratedIn(expr: string): readonly { readonly name: string; readonly rated: boolean }[] {
  if (expr.startsWith('label_values')) return []
  const found = expr.matchAll(/(rate\()?\b((?:dfs|process)_\w+)/g)
  return [...found].map(([, rate, name = '']) => ({ name, rated: rate !== undefined }))
}

/** A port of this machine that somebody listens on. */
async function takenPort(t: Test): Promise<number> {
  const server = createServer()
  t.teardown(() => server.close())
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return (server.address() as AddressInfo).port
}
