import { deepStrictEqual as deepEqual } from 'node:assert/strict'
import t from 'tap'
import { DfsError } from '../../src/errors.js'
import { type Codec, decode, encode } from '../../src/wire/codec.js'
import { failureCodec, messages, type Verb, verbOfNumber } from '../../src/wire/messages.js'
import { protocolVersions } from '../../src/wire/protocol-versions.js'
import { samples } from '../fixtures/samples.js'
import { Seeded } from '../fixtures/seeded.js'

/** Messages are tried in the newest version, which has all fields. */
const { most } = protocolVersions
const verbs = Object.keys(messages) as Verb[]

/** Every codec of the protocol with a maker of its values. */
const shapes = verbs.flatMap((verb) =>
  (['request', 'reply'] as const).map((direction) => ({
    name: `${direction} of ${verb}`,
    codec: messages[verb][direction] as Codec<unknown>,
    make: samples[verb][direction] as (random: Seeded) => unknown,
  })),
)

/** What came out, or undefined when the bytes were refused as they should be. */
function decoded(codec: Codec<unknown>, bytes: Buffer): unknown {
  try {
    return decode(codec, bytes, most)
  } catch (thrown) {
    if (thrown instanceof DfsError && thrown.code === 'protocol') return undefined
    throw thrown
  }
}

t.test(
  'gives every verb a number of its own that leaves room for the bit of a reply',
  async (t) => {
    const numbers = verbs.map((verb) => messages[verb].number)
    t.equal(new Set(numbers).size, verbs.length)
    t.ok(numbers.every((number) => number > 0 && number < 0x7f))
    for (const verb of verbs) t.equal(verbOfNumber(messages[verb].number), verb)
    t.equal(verbOfNumber(0x7e), undefined)
  },
)

for (const { name, codec, make } of shapes) {
  t.test(`decodes the ${name} to what was encoded`, async () => {
    const random = new Seeded(7)
    for (let round = 0; round < 50; round += 1) {
      const value = make(random)
      deepEqual(decode(codec, encode(codec, value, most), most), value)
    }
  })

  t.test(`refuses the ${name} when it is cut anywhere or followed by more`, async (t) => {
    const random = new Seeded(11)
    for (let round = 0; round < 10; round += 1) {
      const bytes = encode(codec, make(random), most)
      for (let length = 0; length < bytes.length; length += 1) {
        const cut = bytes.subarray(0, length)
        if (decoded(codec, cut) !== undefined) t.fail(`cut at ${length}`)
      }
      const longer = Buffer.concat([bytes, Buffer.alloc(1)])
      if (decoded(codec, longer) !== undefined) t.fail('followed by more')
    }
  })

  t.test(`refuses damaged bytes of the ${name} or reads them in the one way`, async (t) => {
    const random = new Seeded(13)
    for (let round = 0; round < 300; round += 1) {
      const bytes = encode(codec, make(random), most)
      for (let flips = random.below(4); flips >= 0 && bytes.length > 0; flips -= 1) {
        bytes[random.below(bytes.length)] = random.below(256)
      }
      const value = decoded(codec, bytes)
      if (value !== undefined && !encode(codec, value, most).equals(bytes)) t.fail('two encodings')
    }
    for (let round = 0; round < 300; round += 1) {
      decoded(codec, random.bytes(random.below(200)))
    }
    t.pass('nothing but protocol errors was thrown')
  })
}

t.test('carries the number and the message of a failure', async (t) => {
  const failure = { code: new DfsError('noSpace').wireNumber, message: 'Kein Platz – nirgends' }
  t.same(decode(failureCodec, encode(failureCodec, failure)), failure)
})
