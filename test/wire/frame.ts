import t from 'tap'
import { DfsError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { text } from '../../src/wire/codec.js'
import { FrameParser, frame } from '../../src/wire/frame.js'
import { Seeded } from '../fixtures/seeded.js'

interface Got {
  readonly kind: number
  readonly id: number
  readonly fields: string
  readonly payload: Buffer
}

const fieldsCodec = text(1000)

/** Everything that a parser makes of the chunks. */
function parse(chunks: Iterable<Buffer>, bytesMax?: number): Got[] {
  const got: Got[] = []
  const parser = new FrameParser(({ kind, id, reader }) => {
    const fields = fieldsCodec.read(reader)
    got.push({ kind, id, fields, payload: Buffer.from(reader.rest()) })
  }, bytesMax)
  for (const chunk of chunks) parser.feed(chunk)
  return got
}

function* cut(bytes: Buffer, random: Seeded, most: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random.below(most)
    yield bytes.subarray(at, at + length)
    at += length
  }
}

const random = new Seeded(3)
const sent: readonly Got[] = [0, 1, 70_000, 5, limits.framePayloadBytesMax].map(
  (length, index) => ({
    kind: index + 1,
    id: 0xffff_fff0 + index,
    fields: 'f'.repeat(index * 10),
    payload: random.bytes(length),
  }),
)
const stream = Buffer.concat(
  sent.flatMap(({ kind, id, fields, payload }) => frame(kind, id, fieldsCodec, fields, [payload])),
)

t.test('finds the frames in a stream however it is cut', async (t) => {
  t.same(parse([stream]), sent, 'in one piece')
  const small = stream.subarray(0, 80_000)
  const bytewise = Array.from(small, (_, index) => small.subarray(index, index + 1))
  t.same(parse(bytewise), sent.slice(0, 4), 'byte by byte')
  for (let round = 0; round < 20; round += 1) {
    const most = 1 + random.below(200_000)
    t.same(parse(cut(stream, random, most)), sent, `in pieces of up to ${most} bytes`)
  }
})

t.test('takes what was received where it belongs, in any portions', async (t) => {
  for (const most of [1, 3000, 100_000, 2_000_000]) {
    const kept: Buffer[] = []
    const parser = new FrameParser(({ reader }) => {
      fieldsCodec.read(reader)
      kept.push(reader.rest())
    })
    for (let at = 0; at < stream.length; ) {
      const room = parser.buffer()
      const length = Math.min(room.length, stream.length - at, 1 + random.below(most))
      stream.copy(room, 0, at, at + length)
      parser.feed(room.subarray(0, length))
      at += length
      if (most === 1 && at > 80_000) break
    }
    const payloads = sent.map(({ payload }) => payload).slice(0, kept.length)
    t.ok(kept.length >= 4)
    t.ok(
      Buffer.concat(kept).equals(Buffer.concat(payloads)),
      `up to ${most}: nothing was overwritten`,
    )
  }
})

t.test('receives into lent memory, at its end, and gives it back', async (t) => {
  const lent = Buffer.alloc(limits.framePayloadBytesMax + 4096)
  let free: Buffer | undefined = lent
  const memory = {
    take: (kind: number, length: number) => {
      const taken = kind === 3 && length > 4096 ? free : undefined
      if (taken !== undefined) free = undefined
      return taken
    },
    give: (buffer: Buffer) => {
      t.equal(buffer, lent)
      free = buffer
    },
  }
  const payload = random.bytes(8192)
  const [small, big, other] = [3, 3, 4].map((kind, index) =>
    Buffer.concat(frame(kind, 1, fieldsCodec, 'f', [index === 0 ? Buffer.alloc(10) : payload])),
  ) as [Buffer, Buffer, Buffer]
  for (const most of [1, 4, 5, 6, 1000]) {
    const atPages: boolean[] = []
    const parser = new FrameParser(
      ({ reader, release }) => {
        fieldsCodec.read(reader)
        const rest = reader.rest()
        const isLent = rest.buffer === lent.buffer && rest.length > 4096
        atPages.push(isLent && (rest.byteOffset - lent.byteOffset) % 4096 === 0)
        if (rest.length > 10) t.same(rest, payload)
        release?.()
      },
      limits.frameBytesMax,
      memory,
    )
    for (const sent of [small, big, other])
      for (const chunk of cut(sent, random, most)) parser.feed(chunk)
    t.same(atPages, [false, true, false], `cut at ${most}`)
    parser.feed(big.subarray(0, 100))
    t.equal(free, undefined)
    parser.close()
    t.equal(free, lent, 'what was not complete is given back')
  }
})

t.test('does not copy the payload that it sends', async (t) => {
  const payload = Buffer.alloc(100)
  t.equal(frame(1, 1, fieldsCodec, '', [payload])[1], payload)
})

t.test('refuses a length that no frame has before it takes memory', async (t) => {
  const announced = [0, 4, limits.frameBytesMax + 1, 0xffff_ffff]
  for (const length of announced) {
    const prefix = Buffer.alloc(4)
    prefix.writeUInt32BE(length)
    t.throws(() => parse([prefix]), { code: 'protocol' }, `${length} bytes`)
  }
  const parser = new FrameParser(() => {})
  parser.feed(Buffer.from([0, 0, 0]))
  t.equal(parser.heldBytes, 0)
})

t.test('takes only small frames when told so', async (t) => {
  const parts = frame(1, 1, fieldsCodec, '', [Buffer.alloc(100)])
  t.equal(parse(parts as Buffer[], 107).length, 1)
  t.throws(() => parse(parts as Buffer[], 106), { code: 'protocol' })
})

t.test('refuses to make a frame that the peer would refuse', async (t) => {
  const payload = Buffer.alloc(limits.frameBytesMax)
  t.throws(() => frame(1, 1, fieldsCodec, '', [payload]), { code: 'protocol' })
})

t.test('answers garbage with nothing but a protocol error', async (t) => {
  for (let seed = 0; seed < 200; seed += 1) {
    const garbage = new Seeded(seed)
    const parser = new FrameParser(() => {}, 4096)
    try {
      for (let chunk = 0; chunk < 50; chunk += 1) parser.feed(garbage.bytes(garbage.below(300)))
    } catch (thrown) {
      if (!(thrown instanceof DfsError) || thrown.code !== 'protocol') throw thrown
    }
    if (parser.heldBytes > 4096) t.fail('too much memory')
  }
})
