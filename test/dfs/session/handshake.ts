import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemRandom } from '../../../src/clock.js'
import { UsersFile } from '../../../src/dfs/users/users.js'
import { limits } from '../../../src/limits.js'
import { protocolVersion } from '../../../src/wire/messages.js'
import { ScramClient, ScramCredentials } from '../../../src/wire/scram.js'
import { hurriedClock, startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { Seeded } from '../../fixtures/seeded.js'
import { until } from '../../fixtures/servers.js'

/** How a login fails, and after how many milliseconds. */
async function failedLogin(port: number, user: string, password: string) {
  const client = await RawClient.connect(port)
  const begin = performance.now()
  const error: Error = await client.login(user, password).then(
    () => new Error('logged in'),
    (thrown) => thrown,
  )
  await client.closed
  return { error: { ...error, message: error.message }, ms: performance.now() - begin }
}

t.test('lets a user in who knows the password', async (t) => {
  const { port, storage } = await startServer(t)
  const client = await RawClient.connect(port)
  const hello = await client.hello('alice', 'secret')
  t.equal(hello.server, storage.identity.server)
  await hello.finish()
  t.same(await client.call('ping', {}), {})
  t.match(await client.call('status', {}), { cluster: null, position: 0, state: 'blank' })
})

t.test('answers a wrong name and a wrong password alike, and late', async (t) => {
  const { port, notices } = await startServer(t)
  const wrongPassword = await failedLogin(port, 'alice', 'Secret')
  const wrongName = await failedLogin(port, 'mallory', 'secret')
  const noName = await failedLogin(port, '../x"\n', 'secret')
  t.same(wrongPassword.error, wrongName.error)
  t.same(noName.error, wrongName.error)
  t.match(wrongName.error, {
    code: 'authentication',
    message: 'Invalid Username/Password. Please try again.',
  })
  for (const { ms } of [wrongPassword, wrongName, noName]) {
    t.ok(ms >= limits.authenticationFailureDelayMs - 5, `${ms} ms`)
  }
  t.match(notices[0], /^\S+ "alice" at 127\.0\.0\.1:\d+ refused: Invalid Username/)
  t.match(notices[2], /"\.\.\/x\\"\\n"/, 'a name cannot forge a line of the log')
})

t.test(
  'lets no user in who was removed, or has another password, since the login began',
  async (t) => {
    const text = ['alice', 'bob', 'carol'].map((user) => `[users.${user}]\npassword = "secret"\n`)
    const file = join(t.testdir({}), 'dfs.conf')
    writeFileSync(file, text.join(''), { mode: 0o600 })
    const users = new UsersFile(file, Buffer.alloc(32))
    const { port } = await startServer(t, { users })
    const begin = async (user: string) => {
      const client = await RawClient.connect(port)
      return client.hello(user, 'secret')
    }
    const [alice, bob, carol] = [await begin('alice'), await begin('bob'), await begin('carol')]
    writeFileSync(file, `[users.alice]\npassword = "another"\n${text[2]}`, { mode: 0o600 })
    users.refresh()
    await t.rejects(alice.finish(), { code: 'authentication' })
    await t.rejects(bob.finish(), { code: 'authentication' })
    await t.resolves(carol.finish())
  },
)

t.test('makes nobody else wait for a wrong password', async (t) => {
  const { port } = await startServer(t, { clock: hurriedClock(1 / 5) })
  const alice = await RawClient.open(port)
  let isRefused = false
  const failing = failedLogin(port, 'alice', 'Secret').then(() => {
    isRefused = true
  })
  await RawClient.open(port, 'bob')
  await alice.call('ping', {})
  t.notOk(isRefused)
  await failing
})

t.test('gives no folder to a user who did not get in', async (t) => {
  const folder = t.testdir({})
  const { port } = await startServer(t, { folder })
  await failedLogin(port, 'mallory', 'secret')
  await failedLogin(port, 'alice', 'wrong')
  t.same(
    readdirSync(folder).filter((name) => !/^(identity\.json|lock\.db)/.test(name)),
    [],
  )
})

t.test('parts from a client of another version with a reason', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.connect(port)
  const hello = client.call('hello', {
    version: protocolVersion + 1,
    client: '00000000',
    position: 0,
    clientFirst: '?',
  })
  await t.rejects(hello, { code: 'version', message: /speaks version \d+, the client \d+/ })
  await client.closed
})

t.test('understands nothing before authentication', async (t) => {
  const { port } = await startServer(t)
  for (const verb of ['ping', 'status'] as const) {
    const client = await RawClient.connect(port)
    await t.rejects(client.call(verb, {}), { code: 'protocol' }, verb)
    await client.closed
  }
  const client = await RawClient.connect(port)
  await t.rejects(client.call('authenticate', { clientFinal: 'x' }), { code: 'protocol' })
  await client.closed
})

t.test('tells no names by a position that no server has', async (t) => {
  const { port } = await startServer(t)
  for (const name of ['alice', 'nobody']) {
    const client = await RawClient.connect(port)
    await t.rejects(client.hello(name, 'secret', undefined, { position: 4 }), { code: 'protocol' })
  }
})

t.test('takes no second hello, and nothing sent ahead', async (t) => {
  const { port } = await startServer(t)
  const scram = new ScramClient(new ScramCredentials('alice', 'secret'), systemRandom.bytes(18))
  const clientFirst = scram.first()
  const hello = { version: protocolVersion, client: '00000000', position: 0, clientFirst }
  const twice = await RawClient.connect(port)
  await twice.call('hello', hello)
  await t.rejects(twice.call('hello', hello), { code: 'protocol' })
  await twice.closed
  const ahead = await RawClient.connect(port)
  ahead.send(ahead.bytes('hello', hello)[1], ahead.bytes('ping', {})[1])
  await ahead.closed
  t.equal(ahead.failures[0]?.code, 'protocol')
  const after = await RawClient.open(port)
  await t.rejects(after.call('hello', hello), { code: 'protocol' })
  await after.closed
})

t.test('takes no big frame and no garbage from a stranger', async (t) => {
  const { port, server } = await startServer(t)
  const other = await RawClient.open(port)
  const big = await RawClient.connect(port)
  big.send(Buffer.from([0, 0, 0x10, 1]))
  await big.closed
  t.match(big.failures, [{ code: 'protocol' }])
  for (let seed = 0; seed < 30; seed += 1) {
    const client = await RawClient.connect(port)
    client.send(new Seeded(seed).bytes(100 + seed * 200))
    client.socket.end()
    await client.closed
  }
  t.same(await other.call('ping', {}), {}, 'another session did not notice')
  await until(() => server.connections === 1)
})

t.test('cuts off who does not authenticate in time', async (t) => {
  const { port, server } = await startServer(t, { clock: hurriedClock(5) })
  const silent = await RawClient.connect(port)
  const half = await RawClient.connect(port)
  half.send(Buffer.from([0, 0]))
  const logged = await RawClient.open(port)
  const begin = performance.now()
  await Promise.all([silent.closed, half.closed])
  t.ok(performance.now() - begin < limits.handshakeTimeoutMs)
  t.same(await logged.call('ping', {}), {})
  await until(() => server.connections === 1)
})

t.test('lets users in whatever strangers do: of those the oldest goes', async (t) => {
  const { port, server } = await startServer(t)
  const logged = await RawClient.open(port)
  const oldest = await RawClient.connect(port)
  const others = await Promise.all(
    Array.from({ length: limits.handshakesMax - 1 }, () => RawClient.connect(port)),
  )
  await until(() => server.connections === limits.handshakesMax + 1)
  const late = await RawClient.open(port)
  await oldest.closed
  t.equal(server.connections, limits.handshakesMax + 1, 'their number is bounded')
  t.same(await logged.call('ping', {}), {})
  t.same(await late.call('ping', {}), {})
  for (const stranger of others) stranger.close()
  await until(() => server.connections === 2)
})

t.test('makes the strangers of one machine crowd out one another and nobody else', async (t) => {
  const { port, server } = await startServer(t)
  const elsewhere = await RawClient.connect(port, '127.0.0.2')
  const crowd = await Promise.all(
    Array.from({ length: limits.handshakesMax + 20 }, () => RawClient.connect(port)),
  )
  await until(() => server.connections === limits.handshakesMax)
  await elsewhere.login('alice', 'secret')
  t.same(await elsewhere.call('ping', {}), {})
  for (const stranger of crowd) stranger.close()
})

t.test('fills no log with what strangers send', async (t) => {
  const { port, notices } = await startServer(t)
  for (let count = 0; count < limits.repeatedNoticesMax * 3; count += 1) {
    const client = await RawClient.connect(port)
    client.send(Buffer.from([0, 0, 0, 0]))
    await client.closed
  }
  t.equal(notices.length, limits.repeatedNoticesMax)
})
