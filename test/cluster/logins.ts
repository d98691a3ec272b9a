/** Attacks on logins: what one server learns from a login is of no use at another one. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ClientConfig } from '../../src/config.js'
import { protocolVersions } from '../../src/wire/protocol-versions.js'
import { formatVerifier, makeVerifier } from '../../src/wire/scram.js'
import { UserOfDfc } from '../fixtures/client.js'
import { checkAll, clean, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { MessageProxies } from '../fixtures/message-proxies.js'
import { RawClient } from '../fixtures/raw-client.js'
import { ServerProxy } from '../fixtures/server-proxy.js'
import { startServers, startWithUsers, type TestServers, until } from '../fixtures/servers.js'

/** A server that is late on a busy machine would count as down, and nothing be refused. */
const timeoutMs = 10_000
const password = 'secret'

/** The config with another address for the server at `index`. */
function withAddress(config: ClientConfig, index: number, address: ServerProxy): ClientConfig {
  const { host, port } = address
  const servers = config.servers.map((server, at) =>
    at === index ? { ...server, address: { host, port } } : server,
  )
  return { ...config, servers }
}

/** Servers with the account of alice, which has a file. */
async function startFounded(t: Test): Promise<TestServers> {
  const servers = await startServers(t)
  const client = await openClient(t, servers)
  await putFile(client, 'file', Buffer.from('kept'))
  await client.close()
  return servers
}

async function verifierOf(salt: number): Promise<string> {
  return formatVerifier(await makeVerifier(password, Buffer.alloc(16, salt), 4096))
}

t.test('a login that a relay passes on to another server is refused there', async (t) => {
  const servers = await startFounded(t)
  await servers.kill(0)
  const relay = await ServerProxy.open(t, '127.0.0.9', () => servers.port(1))
  // The server itself answers before the relay does.
  relay.delayMs = 100
  const config = withAddress(servers.config('alice', timeoutMs), 0, relay)
  const cluster = await servers.connect(t, config)
  t.same(
    cluster.links.map(({ isUp }) => isUp),
    [false, true, true, true],
  )
  t.match(cluster.link(0).failure, { code: 'wrongServer', message: /lead to the same server/ })
  const { status, out } = await new UserOfDfc(join(t.testdirName, 'user'), config).dfc('list')
  t.equal(status, 0)
  t.match(out, /file/)
})

t.test(
  'a relay that is faster than the server it leads to keeps nobody from that one',
  async (t) => {
    const servers = await startFounded(t)
    await servers.kill(0)
    const relay = await ServerProxy.open(t, '127.0.0.9', () => servers.port(1))
    const slow = await ServerProxy.open(t, '127.0.0.10', () => servers.port(1))
    slow.delayMs = 200
    const relayed = withAddress(servers.config('alice', timeoutMs), 0, relay)
    const cluster = await servers.connect(t, withAddress(relayed, 1, slow))
    t.notOk(cluster.link(0).isUp)
    t.match(cluster.link(0).failure, { code: 'wrongServer' })
    await until(() => cluster.up.length === 3)
  },
)

t.test('a server itself refuses the login that is meant for another one', async (t) => {
  const servers = await startFounded(t)
  const status = await (
    await RawClient.open(servers.port(1), 'alice', password, undefined, { position: 1 })
  ).call('status', {})
  const cluster = status.cluster
  // The relay may name any id as that of the server, but cannot change what the client then proves.
  const login = async (position: number, meant = {}): Promise<unknown> => {
    const client = await RawClient.connect(servers.port(1))
    const { finish } = await client.hello('alice', password, undefined, { position, cluster })
    return finish(meant).finally(() => client.close())
  }
  await login(1)
  await t.rejects(login(1, { server: '00'.repeat(16) }), { code: 'authentication' })
  await t.rejects(login(1, { position: 0 }), { code: 'authentication' })
  await t.rejects(login(0), {
    code: 'wrongServer',
    message: /number 2 of the cluster, not number 1/,
  })
  await t.rejects(login(1, { cluster: '00'.repeat(16) }), {
    code: 'wrongServer',
    message: /another cluster/,
  })
})

t.test('a login that a relay passes on to a server of another cluster is refused', async (t) => {
  const servers = await startFounded(t)
  await t.test('there', async (t) => {
    const others = await startFounded(t)
    const relay = await ServerProxy.open(t, '127.0.0.9', () => others.port(0))
    const config = withAddress(servers.config('alice', timeoutMs), 0, relay)
    const cluster = await servers.connect(t, config)
    t.same(
      cluster.links.map(({ isUp }) => isUp),
      [false, true, true, true],
    )
    t.match(cluster.link(0).failure, { code: 'wrongServer', message: /another cluster/ })
    const { status } = await new UserOfDfc(join(t.testdirName, 'user'), config).dfc('list')
    t.equal(status, 0)
  })
})

t.test('of two servers with one salt only one is shown a proof', async (t) => {
  const salts = [1, 2, 3, 1]
  const verifiers = await Promise.all(salts.map(verifierOf))
  const servers = await startWithUsers(
    t,
    (index) => `[users.alice]\nverifier = "${verifiers[index]}"\n`,
  )
  const cluster = await servers.connect(t, servers.config('alice', timeoutMs))
  t.equal(cluster.up.length, 3)
  const refused = cluster.links.find(({ isUp }) => !isUp)
  t.match(refused?.failure, {
    code: 'wrongServer',
    message: /DFS[14] and DFS[14] have the same salt for alice.*dfs-server user passwd alice/,
  })
})

t.test('four servers with one verifier are refused with a sentence', async (t) => {
  const verifier = await verifierOf(1)
  const servers = await startWithUsers(t, () => `[users.alice]\nverifier = "${verifier}"\n`)
  await t.rejects(servers.connect(t, servers.config('alice', timeoutMs)), {
    code: 'wrongServer',
    message: /^DFS\d, DFS\d, DFS\d: .*have the same salt for alice/,
  })
})

t.test('four servers with one file of four verifiers are fine', async (t) => {
  const verifiers = await Promise.all([1, 2, 3, 4].map(verifierOf))
  const list = verifiers.map((one) => `"${one}"`).join(', ')
  const servers = await startWithUsers(t, () => `[users.alice]\nverifiers = [${list}]\n`)
  const cluster = await servers.connect(t, servers.config('alice', timeoutMs))
  t.equal(cluster.up.length, 4)
})

t.test("no user can give another user's account away", async (t) => {
  const servers = await startFounded(t)
  await servers.kill(0)
  servers.wipe(0)
  await servers.start(0)
  const bob = await RawClient.open(servers.port(0), 'bob', 'hidden', undefined, { position: 3 })
  await bob.call('claim', { cluster: 'de'.repeat(16), position: 3 })
  bob.close()
  const client = await openClient(t, servers)
  await until(() => client.cluster.up.length === 4)
  t.match(await client.scheduler.heal(healNow), { filledServers: [0], left: 0, lost: [] })
  t.match(await checkAll(client), clean)
  t.equal(`${await readFile(client, 'file')}`, 'kept')
})

t.test('a server that does not know the new password counts as down and is named', async (t) => {
  const isLate = [false, false, true, false]
  const servers = await startWithUsers(
    t,
    (index) => `[users.alice]\npassword = "${isLate[index] ? 'old' : password}"\n`,
  )
  const config = servers.config('alice', timeoutMs)
  const cluster = await servers.connect(t, config)
  t.same(
    cluster.links.map(({ isUp }) => isUp),
    [true, true, false, true],
  )
  t.match(cluster.link(2).failure, { code: 'authentication' })
  const user = new UserOfDfc(join(t.testdirName, 'user'), config)
  t.match((await user.dfc('status')).out, /DFS3.*Invalid Username\/Password/)
})

t.test('goes on with three when one refuses, and stops when two do', async (t) => {
  let late: readonly number[] = []
  const servers = await startWithUsers(
    t,
    (index) => `[users.alice]\npassword = "${late.includes(index) ? 'old' : password}"\n`,
  )
  const config = servers.config('alice', timeoutMs)
  await (await servers.connect(t, config)).close()
  const user = new UserOfDfc(join(t.testdirName, 'user'), config)
  t.equal((await user.dfc('mkdir', 'folder')).status, 0)
  const restart = async (...indexes: readonly number[]): Promise<void> => {
    late = indexes
    await servers.kill(...indexes)
    await Promise.all(indexes.map((index) => servers.start(index)))
  }
  await restart(2)
  const { status, out } = await user.dfc('list')
  t.equal(status, 0)
  t.match(out, /folder/)
  await restart(2, 3)
  const { status: stopped, problems } = await user.dfc('list')
  t.equal(stopped, 1)
  t.match(problems, /DFS3, DFS4: Invalid Username\/Password/)
})

t.test('names that are not known look like those that are, also after a restart', async (t) => {
  const verifiers = await Promise.all([1, 2, 3, 4].map(verifierOf))
  const list = verifiers.map((one) => `"${one.replace('$4096', '$9000')}"`)
  const plain = `[users.alice]\npassword = "${password}"\n`
  const servers = await startWithUsers(t, () => `${plain}[users.carol]\nverifiers = [${list}]\n`)
  const strangers = Array.from({ length: 20 }, (_, index) => `nobody${index}`)
  const names = ['alice', 'carol', ...strangers]
  const offersOf = async (name: string): Promise<string[]> =>
    Promise.all(
      [0, 1, 2, 3].map(async (position) => {
        const client = await RawClient.connect(servers.port(position))
        const { serverFirst } = await client.hello(name, 'x', undefined, { position })
        client.close()
        return serverFirst.replace(/^r=[^,]*,/, '')
      }),
    )
  for (const name of names) {
    const salts = [0, 1, 2, 3].map(async (position) => {
      const client = await RawClient.connect(servers.port(0))
      const { serverFirst } = await client.hello(name, 'x', undefined, { position })
      client.close()
      return /s=([^,]*)/.exec(serverFirst)?.[1]
    })
    t.equal(new Set(await Promise.all(salts)).size, 4, `${name}: another salt for each position`)
  }
  const before = new Map<string, string[]>()
  for (const name of names) before.set(name, await offersOf(name))
  for (const [name, offers] of before) {
    const salts = offers.map((offer) => /s=([^,]*)/.exec(offer)?.[1])
    t.equal(new Set(salts).size, 4, `${name}: another salt on each server`)
    t.ok(
      salts.every((salt) => salt && Buffer.from(salt, 'base64').length === 16),
      name,
    )
  }
  const rounds = strangers.flatMap((name) => before.get(name)?.map((offer) => offer.split('i=')[1]))
  t.same(new Set(rounds), new Set(['4096', '9000']), 'rounds are those of known users')
  await servers.kill(0, 1, 2, 3)
  await Promise.all([0, 1, 2, 3].map((index) => servers.start(index)))
  for (const name of names) t.same(await offersOf(name), before.get(name), name)
})

t.test('nobody on the way can change the versions that client and server agree on', async (t) => {
  const servers = await startFounded(t)
  const proxies = await MessageProxies.open(t, servers)
  proxies.watch(({ server, verb, isAnswer, bytes }) => {
    if (verb !== 'hello') return
    // The range of the client begins with the highest version, the answer with the one that was chosen.
    if (server === 0 && !isAnswer) bytes.writeUInt16BE(protocolVersions.least - 1, 2)
    if (server === 1 && isAnswer) bytes.writeUInt16BE(protocolVersions.least - 1, 0)
  })
  const cluster = await servers.connect(t, proxies.config('alice', timeoutMs))
  t.match(cluster.link(0).failure, {
    code: 'authentication',
    message: /versions in this login were changed/,
  })
  t.match(cluster.link(1).failure, { code: 'version', message: /which was not offered/ })
  t.equal(cluster.up.length, 2)
})
