/** TLS between clients and servers: what is read, changed or passed on along the path is of no use to anybody. */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { ClientConfig } from '../../src/config.js'
import { ServerKey } from '../../src/dfs/disk/server-key.js'
import { UserOfDfc } from '../fixtures/client.js'
import { ManInTheMiddle } from '../fixtures/man-in-the-middle.js'
import { startServers, type TestServers, until } from '../fixtures/servers.js'

/** A server that is late on a busy machine would count as down, and nothing be refused. */
const timeoutMs = 10_000
t.setTimeout(120_000)

const secret = 'the content that nobody may read'

/** The config of a client that asks for TLS, with some of the servers at other addresses. */
function overTls(
  servers: TestServers,
  others: Readonly<Record<number, { readonly host: string; readonly port: number }>> = {},
): ClientConfig {
  const config = servers.config('alice', timeoutMs)
  const reached = config.servers.map((server, index) => {
    const { host, port } = others[index] ?? server.address
    return { ...server, address: { host, port } }
  })
  return { ...config, servers: reached, tls: 'on' }
}

function keysFile(user: UserOfDfc): string {
  return join(user.folder, '.local/state/dfs/server-keys.json')
}

/** The account is made, and the client knows the four keys. */
async function startKnown(t: Test) {
  const servers = await startServers(t, 'nobody')
  const user = new UserOfDfc(join(t.testdirName, 'user'), overTls(servers))
  user.write('file', secret)
  t.match(await user.dfc('put', 'file'), { status: 0 })
  return { servers, user }
}

/** The key of somebody on the path. */
function keyOfMiddle(t: Test): Promise<ServerKey> {
  const folder = join(t.testdirName, 'middle')
  mkdirSync(folder)
  return ServerKey.open(folder)
}

/** The same user and folder with another configuration. */
function withConfig(user: UserOfDfc, config: ClientConfig): UserOfDfc {
  return new UserOfDfc(user.folder, config)
}

t.test('everything goes over TLS, and the keys of the servers are kept', async (t) => {
  const servers = await startServers(t, 'nobody')
  const middle = await ManInTheMiddle.open(t, () => servers.port(0))
  const user = new UserOfDfc(join(t.testdirName, 'user'), overTls(servers, { 0: middle }))
  user.write('file', secret)
  t.match(await user.dfc('put', 'file'), { status: 0, problems: '' })
  t.match(await user.dfc('get', 'file', '/dev/stdout'), { status: 0, out: secret })
  t.ok(middle.seen.length > 0)
  for (const text of [secret, 'alice', 'file']) t.notOk(middle.hasSeen(text), `not even ${text}`)
  t.equal(statSync(keysFile(user)).mode & 0o777, 0o600)
  const { accounts } = JSON.parse(readFileSync(keysFile(user), 'utf8'))
  t.equal(accounts.length, 1)
  const names = await Promise.all(
    servers.folders.map(async (folder) => (await ServerKey.open(folder)).name),
  )
  t.same(
    accounts[0].servers.map(({ key }: { key: string }) => key),
    names,
  )
  t.match(accounts[0].cluster, /^[0-9a-f]{32}$/)
})

t.test('a server that wants TLS says so to who comes without', async (t) => {
  const { servers, user } = await startKnown(t)
  const plain = withConfig(user, servers.config('alice', timeoutMs))
  t.match(await plain.dfc('list'), { status: 1, problems: /The server wants TLS: tls = "on"/ })
})

t.test('the one in the middle is refused by its key, before it is shown anything', async (t) => {
  const { servers, user } = await startKnown(t)
  const own = await keyOfMiddle(t)
  const middle = await ManInTheMiddle.open(t, () => servers.port(0), own)
  const config = overTls(servers, { 0: middle })
  t.match(await withConfig(user, config).dfc('get', 'file', '/dev/stdout'), {
    status: 0,
    out: secret,
  })
  t.equal(middle.seen.length, 0, 'three servers do, and this one was told nothing')
  const { out } = await withConfig(user, config).dfc('status', '--json')
  t.match(JSON.parse(out).servers[0], {
    state: 'down',
    failure: /the key of DFS1 is not the one that is known.*dfc trust DFS1/,
  })
})

t.test('the one in the middle gets no login, even where no key is known yet', async (t) => {
  const { servers } = await startKnown(t)
  const own = await keyOfMiddle(t)
  const middle = await ManInTheMiddle.open(t, () => servers.port(0), own)
  const stranger = new UserOfDfc(join(t.testdirName, 'new'), overTls(servers, { 0: middle }))
  t.match(await stranger.dfc('get', 'file', '/dev/stdout'), { status: 0, out: secret })
  t.ok(middle.hasSeen('tls-exporter'), 'it was greeted')
  t.notOk(
    middle.hasSeen(secret),
    'the login was bound to another connection than the one it came over',
  )
  const { accounts } = JSON.parse(readFileSync(keysFile(stranger), 'utf8'))
  t.equal(accounts[0].servers[0].key, null, 'and its key is not learnt')
})

t.test('bytes that are changed on the way end the connection, and nothing else', async (t) => {
  const { servers, user } = await startKnown(t)
  const middle = await ManInTheMiddle.open(t, () => servers.port(0))
  const config = overTls(servers, { 0: middle })
  let left = 6000
  middle.change = (bytes, fromServer) => {
    left -= bytes.length
    if (left > 0 || !fromServer) return bytes
    const changed = Buffer.from(bytes)
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
    return changed
  }
  for (let round = 0; round < 5; round += 1) {
    const { status, out } = await withConfig(user, config).dfc('get', 'file', '/dev/stdout')
    t.same({ status, out }, { status: 0, out: secret })
  }
  t.ok(left <= 0, 'something was changed')
})

t.test('without TLS at the other end a client that wants it says nothing', async (t) => {
  const servers = await startServers(t)
  const { status, problems } = await new UserOfDfc(
    join(t.testdirName, 'user'),
    overTls(servers),
  ).dfc('list')
  t.equal(status, 1)
  t.match(problems, /does not speak TLS/)
})

t.test(
  'a server with another key is refused until it is trusted, and meanwhile three do',
  async (t) => {
    const { servers, user } = await startKnown(t)
    const cluster = await servers.connect(t, overTls(servers))
    const before = (await ServerKey.open(servers.folders[1] ?? '')).name
    await servers.kill(1)
    rmSync(join(servers.folders[1] ?? '', 'key.pem'))
    await servers.start(1)
    const now = (await ServerKey.open(servers.folders[1] ?? '')).name
    t.not(now, before)
    t.match(await user.dfc('get', 'file', '/dev/stdout'), { status: 0, out: secret })
    await until(() => cluster.link(1).failure?.code === 'untrusted')
    t.match(cluster.link(1).failure?.message, before)
    t.match(await user.dfc('trust', 'dfs2'), {
      status: 0,
      out: new RegExp(`${escaped(now)}\n.*instead of ${escaped(before)}`),
    })
    const { out } = await user.dfc('status', '--json')
    t.equal(JSON.parse(out).servers[1].state, 'up')
  },
)

t.test('all four can be trusted anew, one after the other', async (t) => {
  const { servers, user } = await startKnown(t)
  await servers.kill(0, 1, 2, 3)
  for (const folder of servers.folders) rmSync(join(folder, 'key.pem'))
  await Promise.all([0, 1, 2, 3].map((index) => servers.start(index)))
  t.match(await user.dfc('list'), { status: 1, problems: /the key of DFS\d is not the one/ })
  for (const name of ['DFS1', 'DFS2', 'DFS3', 'DFS4']) {
    t.match(await user.dfc('trust', name), { status: 0 })
  }
  t.match(await user.dfc('list'), { status: 0, out: /file/ })
})

t.test(
  'keys that cannot be kept are used, with a warning, and are not said to be trusted',
  async (t) => {
    const { servers, user } = await startKnown(t)
    const other = new UserOfDfc(`${user.folder}-without`, overTls(servers))
    symlinkSync('nowhere', other.path('.local'))
    t.match(await other.dfc('list'), {
      status: 0,
      out: /file/,
      problems:
        /^dfc: .*server-keys.json: cannot note the keys of the servers: .*as this program runs\n$/,
    })
    const { status, out, problems } = await other.dfc('trust', 'DFS1')
    t.match({ status, out, problems }, { status: 1, out: '', problems: /cannot note the keys/ })
  },
)

t.test('a key in the configuration counts, and is not learnt', async (t) => {
  const { servers, user } = await startKnown(t)
  const config = overTls(servers)
  const wrong = `sha256:${'A'.repeat(43)}=`
  const names = await Promise.all(
    servers.folders.map(async (folder) => (await ServerKey.open(folder)).name),
  )
  const withKeys = (keys: readonly string[]): UserOfDfc => {
    const configured = config.servers.map((server, index) => ({ ...server, key: keys[index] }))
    return withConfig(user, { ...config, servers: configured, tls: undefined })
  }
  t.match(await withKeys(names).dfc('list'), { status: 0 }, 'and asks for TLS')
  const { out } = await withKeys([wrong, ...names.slice(1)]).dfc('status', '--json')
  t.match(JSON.parse(out).servers[0].failure, /put that into the configuration/)
  t.match(await withKeys(names).dfc('trust', 'DFS1'), { status: 1, problems: /change it there/ })
})

t.test('servers that have moved are known by their cluster', async (t) => {
  const { servers, user } = await startKnown(t)
  const known = readFileSync(keysFile(user), 'utf8')
  const middles = await Promise.all(
    [0, 1, 2, 3].map((at) => ManInTheMiddle.open(t, () => servers.port(at))),
  )
  const moved = withConfig(user, overTls(servers, { ...middles }))
  t.match(await moved.dfc('list'), { status: 0, out: /file/ })
  const { accounts } = JSON.parse(readFileSync(keysFile(user), 'utf8'))
  t.equal(accounts.length, 1, 'no second account')
  t.same(
    accounts[0].servers.map(({ key }: { key: string }) => key),
    JSON.parse(known).accounts[0].servers.map(({ key }: { key: string }) => key),
  )
})

t.test('what is known of the keys is never forgotten silently', async (t) => {
  const { user } = await startKnown(t)
  writeFileSync(keysFile(user), '{"accounts": [')
  t.match(await user.dfc('list'), {
    status: 1,
    problems: /server-keys\.json: .*damaged: remove it/,
  })
  rmSync(keysFile(user))
  mkdirSync(keysFile(user))
  t.match(await user.dfc('list'), { status: 1, problems: /server-keys\.json: cannot read/ })
})

t.test('where bytes leave this machine TLS is used unless it is turned off', async (t) => {
  const root = join(import.meta.dirname, '../../..')
  const script = join(root, 'test/fixtures/not-loopback.sh')
  const words = ['--net', '--pid', '--fork', '--kill-child', script, join(root, 'bin'), t.testdir()]
  const { stdout } = await promisify(execFile)('unshare', words)
  const [key = '', listens, ...lines] = stdout
    .trimEnd()
    .split('\n')
    .filter((line) => !/passwords in clear/.test(line))
  t.match(key, /^key: sha256:/)
  t.equal(listens, `log: info DFS1 listens on 10.77.0.1:10001, ${key.replace(':', '')}`)
  const remark =
    'client off: dfc: tls = "off": what is stored and read can be read and changed on the way'
  t.same(lines.slice(0, 2), [
    remark,
    'client off: dfc: The server wants TLS: tls = "on" in the configuration of the client',
  ])
  t.match(
    lines.slice(2).join('\n'),
    /log: .*listens.*\nlog: .*tls = "off".*\nboth off: dfc: tls = "off"/,
  )
  t.equal(lines.length, 5, 'and an empty listing else')
})

function escaped(text: string): string {
  return text.replaceAll(/[+/.]/g, '\\$&')
}
