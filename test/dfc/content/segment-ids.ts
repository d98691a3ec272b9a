import t from 'tap'
import { newSegmentId } from '../../../src/dfc/content/segment-ids.js'
import { decode, encode } from '../../../src/wire/codec.js'
import { segmentIdCodec } from '../../../src/wire/records.js'
import { Seeded } from '../../fixtures/seeded.js'

t.test(
  'ids made one after the other are neighbours, in the order in which they were made',
  async (t) => {
    const random = new Seeded(1)
    const ids = Array.from({ length: 1024 }, () => newSegmentId(random))
    t.same([...ids].sort(), ids)
    t.equal(new Set(ids.map((id) => id.slice(0, 16))).size, 1)
    t.equal(decode(segmentIdCodec, encode(segmentIdCodec, ids[0] ?? '')), ids[0])
  },
)

t.test('no two ids are equal, also from different clients', async (t) => {
  const [one, other] = [new Seeded(1), new Seeded(2)]
  const ids = Array.from({ length: 3000 }, () => [newSegmentId(one), newSegmentId(other)]).flat()
  t.equal(new Set(ids).size, 6000)
  t.ok(new Set(ids.map((id) => id.slice(0, 2))).size > 2, 'not all in one folder of a server')
})
