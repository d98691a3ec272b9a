import t from 'tap'
import { clockRemark } from '../../src/dfc/clock-remark.js'

const now = Date.UTC(2030, 0, 1)
const minute = 60_000
const day = 24 * 60 * minute

t.test('a clock that is right, or nearly, is nothing to speak of', async (t) => {
  t.equal(clockRemark(now, now, now), undefined)
  t.equal(clockRemark(now - minute, now, now), undefined)
  t.equal(clockRemark(now + minute, now - 10, now), undefined)
  // The answer took long: nobody knows when in that time it was.
  t.equal(clockRemark(now, now - 5 * minute, now + 5 * minute), undefined)
})

t.test('says how far a clock is off, and which way', async (t) => {
  t.equal(clockRemark(now + 2 * day, now, now), 'its clock is 2 days ahead of that of this machine')
  t.equal(clockRemark(now - day, now, now), 'its clock is 24 hours behind that of this machine')
  t.equal(
    clockRemark(now - 1.6 * minute, now, now),
    'its clock is 2 minutes behind that of this machine',
  )
})
