import t from 'tap'
import { offsetText } from '../../../src/dfc/cluster/clock-skew.js'

const minute = 60_000
const day = 24 * 60 * minute

t.test('a clock that is right, or nearly so, gets no remark', async (t) => {
  for (const offset of [0, minute, -minute]) t.equal(offsetText(offset), undefined)
})

t.test('the remark has the amount and the direction of the error', async (t) => {
  t.equal(offsetText(2 * day), '2 days ahead of')
  t.equal(offsetText(-day), '24 hours behind')
  t.equal(offsetText(-1.6 * minute), '2 minutes behind')
})
