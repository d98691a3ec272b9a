/**
 * The process that sends the frames, apart from the one that looks after the server: a batch is many
 * connections of one user at once. Everything it sends follows from the seed and the number of the
 * batch, but for the nonces of the logins and the account's incarnation.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import { systemClock } from '../../src/clock.js'
import { isError } from '../../src/errors.js'
import { tlsFirstByte } from '../../src/tls.js'
import { FrameParser, frame, frameKind } from '../../src/wire/frame.js'
import { messages } from '../../src/wire/messages.js'
import { protocolVersions } from '../../src/wire/protocol-versions.js'
import { beginAccount } from '../fixtures/bystander.js'
import { RawClient } from '../fixtures/raw-client.js'
import { Seeded } from '../fixtures/seeded.js'
import { type Conversation, makeConversation } from './conversation.js'
import { makeCorpus } from './corpus.js'
import { mutate } from './mutations.js'

/** One batch, as it is asked for. */
export interface Batch {
  readonly port: number
  readonly user: string
  readonly password: string
  /** All of it inside of TLS. */
  readonly tls: boolean
  /** A blank account takes other messages. */
  readonly isBlank: boolean
  readonly seed: number
  /** Frames that the server shall have answered or refused at the end. */
  readonly frames: number
}

export interface BatchOutcome {
  /** Answered or refused by the server. */
  readonly judged: number
  readonly sent: number
  readonly sentBytes: number
  readonly connections: number
  readonly violations: readonly string[]
}

type Tally = { -readonly [K in keyof BatchOutcome]: BatchOutcome[K] } & { violations: string[] }

const atOnce = 12
const answerMs = 30_000
const settleMs = 20
const attemptsMax = 100

/** The first bytes of a client that begins TLS, as Node sends them. */
async function helloOfTls(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = tlsConnect({ port, host: '127.0.0.1', minVersion: 'TLSv1.3' })
  client.on('error', () => undefined)
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const [bytes] = (await once(accepted, 'data')) as [Buffer]
  client.destroy()
  server.close()
  return bytes
}

const clientHello = await helloOfTls()

process.on('message', (batch: Batch) => {
  void attack(batch).then((outcome) => process.send?.(outcome))
})
process.on('disconnect', () => process.exit(0))

async function attack(batch: Batch): Promise<BatchOutcome> {
  const { seed, frames, isBlank } = batch
  const first = await enter(batch)
  const { stamp } = await first.call('status', {})
  if (!isBlank) await beginAccount(first)
  first.close()
  const corpus = makeCorpus(new Seeded(seed), stamp.incarnation)
  const tally: Tally = { judged: 0, sent: 0, sentBytes: 0, connections: 0, violations: [] }
  let next = 0
  const worker = async (): Promise<void> => {
    while (tally.judged < frames && tally.violations.length === 0) {
      next += 1
      const number = next
      const random = new Seeded(seed * 1_000_003 + number)
      tally.connections += 1
      try {
        if (random.below(40) === 0) await greetWrongly(batch, random, tally)
        else if (random.below(6) === 0) await knock(batch, random, corpus, tally)
        else await converse(batch, random, corpus, tally)
      } catch (thrown) {
        const what = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
        tally.violations.push(`connection ${number}: ${what}`)
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return tally
}

/** Bytes that begin as TLS does, or a handshake that stops or is changed in the middle: the server must only survive. */
async function greetWrongly({ port }: Batch, random: Seeded, tally: Tally): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => undefined)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const hello = Buffer.from(clientHello)
  for (let change = random.below(4); change > 0; change -= 1) {
    hello[random.below(hello.length)] = random.below(256)
  }
  hello[0] = tlsFirstByte
  const end = random.below(3) === 0 ? random.below(hello.length) : hello.length
  socket.write(hello.subarray(0, end))
  if (random.below(2) === 0) socket.write(random.bytes(random.below(3000)))
  tally.sent += 1
  tally.sentBytes += end
  await Promise.race([closed, pause(settleMs)])
  socket.destroy()
  await closed
}

/** A few frames before authentication, in any order, or instead of its second step. */
async function knock(
  { port, user, tls }: Batch,
  random: Seeded,
  corpus: readonly Buffer[],
  tally: Tally,
): Promise<void> {
  const client = await RawClient.connect(port, undefined, tls)
  const parts: Buffer[] = []
  const clientFirst = `n,,n=${user},r=${'0123456789abcdef'.repeat(2)}`
  const { number, request } = messages.hello
  const hello = Buffer.concat(
    frame(number, 1, request, {
      ...protocolVersions,
      client: '00000001',
      position: 0,
      clientFirst,
    }),
  )
  if (random.below(2) === 0)
    parts.push(random.below(2) === 0 ? hello : mutate(hello, random, corpus))
  for (let count = random.below(4); count > 0; count -= 1) {
    const valid = corpus[random.below(corpus.length)] ?? hello
    parts.push(random.below(2) === 0 ? valid : mutate(valid, random, corpus))
  }
  const replies = new Replies(client)
  for (const part of parts) {
    send(client, part, tally)
    tally.sent += 1
    if (random.below(2) === 0) await pause(1)
  }
  await Promise.race([client.closed, pause(settleMs)])
  client.close()
  await client.closed
  tally.judged += replies.count
  // The answer to the first step is all that a stranger may get.
  const others = replies.kinds.filter((kind) => kind !== frameKind.failure)
  if (others.length > 1 || others.some((kind) => kind !== number + frameKind.reply)) {
    throw new Error(`answered before authentication: ${others}`)
  }
}

/** Logs in at whichever position the claims of other connections have put the account meanwhile. */
async function enter({ port, user, password, tls }: Batch): Promise<RawClient> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await RawClient.open(port, user, password, undefined, { position: attempt % 4 }, tls)
    } catch (thrown) {
      if (!isError(thrown, 'wrongServer') || attempt === attemptsMax) throw thrown
    }
  }
}

async function converse(
  batch: Batch,
  random: Seeded,
  corpus: readonly Buffer[],
  tally: Tally,
): Promise<void> {
  const conversation = makeConversation(random, corpus)
  const client = await enter(batch)
  const replies = new Replies(client)
  const manner = random.below(30)
  if (manner === 0) client.socket.pause()
  for (let at = 0; at < conversation.bytes.length; ) {
    const length = random.below(4) === 0 ? 1 + random.below(3000) : 200_000
    send(client, conversation.bytes.subarray(at, at + length), tally)
    at += length
    if (random.below(8) === 0) await pause(0)
  }
  tally.sent += conversation.frames
  if (manner > 1) {
    await settled(client, replies, conversation)
    tally.judged += conversation.frames
  } else {
    // Leaves without a word, with its answers unread or not even sent.
    await pause(random.below(settleMs))
    tally.judged += replies.count
  }
  client.close()
  await client.closed
}

/** Returns when the server has answered all that it owes, each of it once; throws when it has not. */
async function settled(client: RawClient, replies: Replies, expected: Conversation): Promise<void> {
  const { answered, perhaps, isBroken } = expected
  if (isBroken) await within(client.closed.then(() => true))
  else await within(replies.reached(answered.length, client.closed))
  const known = new Set([...answered, ...perhaps])
  const got = new Set(replies.ids)
  const missing = answered.filter((id) => !got.has(id))
  const refused = Number(isBroken)
  if (missing.length > 0) throw new Error(`${missing.length} requests were not answered`)
  if (replies.count > known.size + refused) throw new Error(`${replies.count} replies`)
  if (isBroken && replies.kinds.at(-1) !== frameKind.failure) {
    throw new Error('cut off without being told why')
  }
}

/** Everything that comes back on a connection from now on. */
class Replies {
  readonly ids: number[] = []
  readonly kinds: number[] = []
  #wanted = Number.POSITIVE_INFINITY
  #onReached = (): void => {}

  constructor({ socket }: RawClient) {
    const parser = new FrameParser(({ kind, id }) => {
      // The one frame that nobody asks for: another client of the user came.
      if (kind === frameKind.recall) return
      this.ids.push(id)
      this.kinds.push(kind)
    })
    socket.removeAllListeners('data')
    socket.on('data', (bytes: Buffer) => {
      parser.feed(bytes)
      if (this.count >= this.#wanted) this.#onReached()
    })
  }

  get count(): number {
    return this.ids.length
  }

  /** Resolves with true when there are so many, or with false when the connection closes before. */
  async reached(count: number, closed: Promise<unknown>): Promise<boolean> {
    if (this.count >= count) return true
    this.#wanted = count
    const reached = new Promise<boolean>((resolve) => {
      this.#onReached = () => resolve(true)
    })
    return await Promise.race([reached, closed.then(() => false)])
  }
}

function send(client: RawClient, bytes: Buffer, tally: Tally): void {
  if (client.socket.destroyed) return
  client.socket.write(bytes)
  tally.sentBytes += bytes.length
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

async function within(event: Promise<boolean>): Promise<void> {
  let late = (): void => {}
  const timer = systemClock.after(answerMs, () => late())
  const timeout = new Promise<never>((_, reject) => {
    late = () => reject(new Error(`not answered within ${answerMs} ms`))
  })
  try {
    await Promise.race([event, timeout])
  } finally {
    timer.cancel()
  }
}
