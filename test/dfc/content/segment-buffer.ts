import t from 'tap'
import { localDigests } from '../../../src/dfc/content/digests.js'
import { SegmentBuffer } from '../../../src/dfc/content/segment-buffer.js'
import { Seeded } from '../../fixtures/seeded.js'

t.test('a prepared segment does not change before it is cleared', async (t) => {
  const random = new Seeded(1)
  const buffer = new SegmentBuffer(localDigests)
  buffer.add(Buffer.from('first'))
  const { segment } = await buffer.prepare(random)
  t.throws(() => buffer.add(Buffer.from('more')), { code: 'ERR_ASSERTION' })
  await t.rejects(buffer.prepare(random), { code: 'ERR_ASSERTION' })
  buffer.clear()
  buffer.add(Buffer.from('first'))
  t.equal((await buffer.prepare(random)).segment.md5, segment.md5)
})
