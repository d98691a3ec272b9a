/**
 * What the bounds are for: whatever some clients do, a server stays up, its memory is bounded, and
 * another user is served meanwhile as usual. Real servers, real sockets, a real mount.
 */
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { resolve } from 'node:path'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { checksumsOf } from '../../src/wire/checksum.js'
import { protocolVersions } from '../../src/wire/protocol-versions.js'
import { Bystander, summaryOf, type Took } from '../fixtures/bystander.js'
import { load } from '../fixtures/load.js'
import { TestMounts } from '../fixtures/mount.js'
import { RawClient } from '../fixtures/raw-client.js'
import { Seeded } from '../fixtures/seeded.js'
import { forgetPeak, isRunning, mainThreadMsOf, memoryOf } from '../fixtures/server-process.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

/** What a server may take at its most. */
const rssMaxMiB = 512
/** On the machine that the attackers share with the server, all others and the one who waits. */
const timesNormal = 10
/**
 * While one user makes a server do all that it can, its work before an answer to another one is twice as much as
 * usual, and one turn of the other, with a request at its end that is not interrupted. Work is what can be counted on
 * a machine that all of them share.
 */
const timesFair = 2
const otherTurnMs = limits.turnMs + 5
const noiseMs = 25

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const server = servers.process(0)
const port = servers.port(0)
const bystander = await Bystander.open(port, 'bob', 'hidden', () => mainThreadMsOf(server))
t.teardown(() => bystander.close())
const normal = await quietTime()

async function quietTime() {
  await bystander.round()
  await bystander.took()
  bystander.watch(20)
  await sleep(1_000)
  const took = await bystander.took()
  return { ...summaryOf(took), medianWorkMs: medianWorkOf(took) }
}

/** How long the server was at work, for whomever, while the other user waited for one answer. */
function medianWorkOf(took: readonly Took[]): number {
  const sorted = took.map(({ workMs }) => workMs).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Runs `attack`, and judges how the server and the other user took it. */
async function during<T>(
  t: Test,
  attack: (watch: () => void) => Promise<T>,
  medianWorkMsMax = Number.POSITIVE_INFINITY,
): Promise<T> {
  forgetPeak(server)
  let isWatching = false
  const watch = (): void => {
    isWatching = true
    bystander.watch(20)
  }
  const result = await attack(watch)
  t.ok(isWatching)
  const took = await bystander.took()
  const { medianMs, worst } = summaryOf(took)
  const workMs = medianWorkOf(took)
  await bystander.round()
  await bystander.took()
  const { peakMiB } = memoryOf(server)
  t.comment(
    `at most ${Math.round(peakMiB)} MiB; the other user: ${medianMs.toFixed(1)} ms, at most ` +
      `${Math.round(worst.ms)} (${worst.what}); quiet: ${normal.medianMs.toFixed(1)}, ` +
      `at most ${Math.round(normal.worst.ms)} (${normal.worst.what}); ` +
      `work of the server: ${workMs.toFixed(1)} ms, quiet: ${normal.medianWorkMs.toFixed(1)}`,
  )
  t.ok(isRunning(server), 'the server is up')
  t.ok(peakMiB < rssMaxMiB, `${Math.round(peakMiB)} MiB`)
  t.ok(medianMs < normal.medianMs * timesNormal + noiseMs, `${medianMs} ms is usual`)
  t.ok(workMs < medianWorkMsMax, `${workMs} ms of work come before an answer`)
  t.ok(worst.ms < limits.requestTimeoutMs, `${worst.ms} ms for ${worst.what}`)
  return result
}

/** Connections that send nothing; each comes again a second after it was closed. */
async function silentSockets(count: number): Promise<{ close(): void }> {
  const sockets = new Set<Socket>()
  let isOver = false
  const open = (): void => {
    if (isOver) return
    const socket = connect(port, '127.0.0.1')
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => {
      sockets.delete(socket)
      setTimeout(open, 1_000).unref()
    })
  }
  for (let index = 0; index < count; index += 1) open()
  await until(() => [...sockets].every(({ connecting }) => !connecting))
  return {
    close() {
      isOver = true
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** What one user does to a server to keep others from it: connections of it, and how many. */
const attacks = {
  lookups: ['look-ups of names with large inodes', 16],
  pages: ['the largest pages of a listing', 16],
  halves: ['messages that never come to an end', 200],
  connections: ['connections that are made and closed', 32],
  uploads: ['pieces that are begun and not finished', 64],
} as const

/** A user of her own, since nobody else could use an account with what she stores. */
const mallory = { user: 'mallory', password: 'mallory' }
servers.configure((users) => `${users}\n[users.mallory]\npassword = "mallory"\n`)

for (const [name, [what, count]] of Object.entries(attacks)) {
  t.test(`a user who sends nothing but ${what}`, async (t) => {
    const { done, seconds } = await during(
      t,
      (watch) =>
        load(
          name as keyof typeof attacks,
          { config: { ...servers.config(), ...mallory }, count, ms: 4_000 },
          watch,
        ),
      normal.medianWorkMs * timesFair + otherTurnMs,
    )
    t.comment(`${Math.round(done / seconds)} a second`)
    t.ok(done > count / 2, `${done}`)
  })
}

const segment = 'ab112233445566778899aabbccddeeff'
const deaf: RawClient[] = []
let deafSinceMs = Number.POSITIVE_INFINITY
t.teardown(() => {
  for (const client of deaf) client.close()
})

t.test('clients that never read their replies', async (t) => {
  const first = await RawClient.open(port)
  const bytes = new Seeded(1).bytes(limits.framePayloadBytesMax)
  const place = { segment, piece: 1, pieceLength: bytes.length, offset: 0 }
  await first.call('putPiece', { ...place, checksums: checksumsOf(bytes) }, bytes)
  deaf.push(first)
  while (deaf.length < 100) deaf.push(await RawClient.open(port))
  await during(t, async (watch) => {
    watch()
    for (const client of deaf) {
      client.socket.pause()
      const get = { segment, piece: 1, offset: 0, length: bytes.length }
      const requests = Array.from({ length: 40 }, () => client.bytes('getPiece', get)[1])
      client.send(...requests)
    }
    await sleep(2_000)
  })
  // Some stay to the end, which comes to them after half a minute, and so does one more, for whom so
  // little waits that the server would take more requests.
  for (const client of deaf.splice(4)) client.close()
  const modest = await RawClient.open(port)
  deaf.push(modest)
  modest.socket.pause()
  const get = { segment, piece: 1, offset: 0, length: bytes.length }
  modest.send(...Array.from({ length: 14 }, () => modest.bytes('getPiece', get)[1]))
  deafSinceMs = performance.now()
})

t.test('1,000 half-open connections', async (t) => {
  const silent = await silentSockets(1_000)
  t.teardown(() => silent.close())
  await during(t, async (watch) => {
    watch()
    await sleep(2_500)
    const descriptors = readdirSync(`/proc/${server.pid}/fd`).length
    t.ok(descriptors < limits.handshakesMax + deaf.length + 100, `${descriptors} descriptors`)
  })
})

t.test('clients that send one byte a second', async (t) => {
  const strangers = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)))
  const users = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(port)))
  t.teardown(() => {
    for (const client of [...strangers, ...users]) client.close()
  })
  const greeting = {
    ...protocolVersions,
    client: '00000001',
    position: 0,
    clientFirst: 'n'.repeat(500),
  }
  const [, hello] = strangers[0]?.bytes('hello', greeting) ?? []
  const large = Buffer.alloc(limits.frameBytesMax)
  large.writeUInt32BE(limits.frameBytesMax)
  await during(t, async (watch) => {
    watch()
    // The users are in the middle of a large frame.
    for (const client of users) client.send(large.subarray(0, limits.frameBytesMax / 4))
    for (let second = 0; second < 6; second += 1) {
      for (const client of strangers) client.socket.write(hello?.subarray(second, second + 1) ?? '')
      for (const client of users) client.socket.write('\0')
      await sleep(1_000)
    }
  })
  t.ok(
    strangers.every(({ socket }) => socket.destroyed),
    'who has not logged in after 5 s is cut off',
  )
  t.notOk(users.some(({ socket }) => socket.destroyed))
})

t.test('wrong passwords as fast as possible', async (t) => {
  const { done, seconds } = await during(t, (watch) =>
    load('guesses', { config: servers.config(), count: 256, ms: 2_500 }, watch),
  )
  t.comment(`${Math.round(done / seconds)} guesses a second`)
  t.ok(done > limits.handshakesMax, `${done} guesses`)
})

t.test('200 clients on a server', async (t) => {
  const { done, seconds } = await during(t, (watch) =>
    load('clients', { config: servers.config(), count: 200, ms: 3_000 }, watch),
  )
  t.comment(`${Math.round(done / seconds)} files a second`)
  t.ok(done >= 200, `${done} files`)
})

t.test('10,000 open files and 64 parallel writers in a mount', async (t) => {
  const mount = await new TestMounts(t, servers.config()).start('m')
  const program = resolve(import.meta.dirname, '../fixtures/open-files.js')
  const outcome = await during(t, async (watch) => {
    watch()
    return JSON.parse(
      await mount.out(`mkdir many; exec '${process.execPath}' '${program}' many 10000 64`, {
        UV_THREADPOOL_SIZE: '64',
      }),
    )
  })
  t.comment(JSON.stringify(outcome))
  t.equal(outcome.open, 10_000)
  const { peakMiB } = memoryOf(mount.process)
  t.ok(peakMiB < 2 * rssMaxMiB, `the mount took ${Math.round(peakMiB)} MiB`)
})

t.test('who reads nothing for half a minute is cut off', async (t) => {
  const enoughMs = limits.replyStallMs + 3_000
  await until(() => performance.now() - deafSinceMs > enoughMs, 2 * enoughMs)
  // What had already come can be read, and then it is over.
  for (const { socket } of deaf) socket.resume()
  const open = (): number => deaf.filter(({ socket }) => !socket.destroyed).length
  await until(() => open() === 0, 3_000).catch(() => t.fail(`${open()} are served as before`))
})
