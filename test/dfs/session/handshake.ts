import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemRandom } from '../../../src/clock.js'
import { UsersFile } from '../../../src/dfs/users/users.js'
import { limits } from '../../../src/limits.js'
import { redirectNotices } from '../../../src/log.js'
import { protocolVersions, versionsText } from '../../../src/wire/protocol-versions.js'
import { ScramClient, ScramCredentials } from '../../../src/wire/scram.js'
import { hurriedClock, startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { Seeded } from '../../fixtures/seeded.js'
import { until } from '../../fixtures/servers.js'

const credentials = new ScramCredentials('alice', 'secret')
/** Bytes of a frame before its fields: length, kind and id. */
const frameHeadBytes = 9

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

const { least, most } = protocolVersions
const greeting = { client: '00000000', position: 0, clientFirst: '?' }
const hello = (speaks: { least: number; most: number }) => ({ ...greeting, ...speaks })

t.test(
  'parts from a client of other versions, and says which of the two is to be updated',
  async (t) => {
    const { port } = await startServer(t)
    const cases = [
      [
        { least: most + 1, most: most + 2 },
        `the client versions ${most + 1} to ${most + 2}. Update this server`,
      ],
      [{ least: most + 1, most: most + 1 }, `the client version ${most + 1}. Update this server`],
    ] as const
    for (const [speaks, end] of cases) {
      const client = await RawClient.connect(port)
      const message = `The versions do not match: this server speaks ${versionsText(protocolVersions)}, ${end}`
      await t.rejects(client.call('hello', hello(speaks)), { code: 'version', message })
      await client.closed
    }
    const absurd = await RawClient.connect(port)
    await t.rejects(absurd.call('hello', hello({ least: most + 1, most })), { code: 'protocol' })
  },
)

t.test('understands the hello of releases that named one version', async (t) => {
  const { port } = await startServer(t)
  for (const version of [7, 11]) {
    const client = await RawClient.connect(port)
    const [id, bytes] = client.bytes('hello', hello({ least, most }))
    // Their version stood where the highest one stands now, and the client's id behind it.
    bytes.writeUInt16BE(version, frameHeadBytes)
    client.send(bytes)
    const end = `the client version ${version}. Update the client`
    const message = `The versions do not match: this server speaks ${versionsText(protocolVersions)}, ${end}`
    await t.rejects(client.answer('hello', id), { code: 'version', message })
    await client.closed
  }
})

t.test(
  'answers a client of a later release with the highest version that both speak',
  async (t) => {
    const { port } = await startServer(t)
    const client = await RawClient.connect(port)
    const speaks = { least: least - 5, most: most + 5 }
    const later = await client.hello('alice', 'secret', undefined, {}, speaks)
    t.equal(later.version, most)
    await later.finish()
    t.same(await client.call('ping', {}), {})
  },
)

t.test('ignores what a later release has behind the fields of its hello', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.connect(port)
  const clientFirst = new ScramClient(credentials, systemRandom.bytes(18)).first()
  const [id, bytes] = client.bytes('hello', { ...hello({ least, most }), clientFirst })
  const longer = Buffer.concat([bytes, Buffer.from('more')])
  longer.writeUInt32BE(longer.length - 4)
  client.send(longer)
  t.equal((await client.answer('hello', id)).reply.version, most)
})

t.test('refuses a login whose versions are not those of its hello and of the answer', async (t) => {
  const { port } = await startServer(t)
  const meant = [
    { speaks: { least, most: most + 1 } },
    { speaks: { least: least - 1, most } },
    { version: most + 1 },
  ]
  for (const other of meant) {
    const client = await RawClient.connect(port)
    const { finish } = await client.hello('alice', 'secret')
    const message = 'The versions in this login were changed on the way'
    await t.rejects(finish(other), { code: 'authentication', message })
  }
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
  const clientFirst = new ScramClient(credentials, systemRandom.bytes(18)).first()
  const hello = { ...protocolVersions, client: '00000000', position: 0, clientFirst }
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

t.test('what strangers send is of one kind, of which the log says a few lines', async (t) => {
  const { port } = await startServer(t)
  const kinds: (string | undefined)[] = []
  redirectNotices((_line, _level, kind) => void kinds.push(kind))
  for (const claimed of ['', 'nobody', 'alice']) {
    for (let count = 0; count < 3; count += 1) {
      const client = await RawClient.connect(port)
      if (claimed === '') client.send(Buffer.from([0, 0, 0, 0]))
      else await client.login(claimed, 'wrong').catch(() => undefined)
      await client.closed
    }
  }
  const others = Array(6).fill('connections that were refused')
  t.same(kinds, [...others, ...Array(3).fill('alice: connections that were refused')])
})
