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
