import t from 'tap'
import { parseMoment } from '../../../src/cli/terminal/moment.js'

const nowMs = Date.parse('2026-11-29T12:00:00Z')
const parse = (text: string): number => parseMoment(text, nowMs, '--at')

t.test('a time is how long ago, or a date with or without a time of day', async (t) => {
  t.equal(parse('2h'), nowMs - 7_200_000)
  t.equal(parse(' 90s ago'), nowMs - 90_000)
  t.equal(parse('2026-11-28T14:30:00Z'), Date.parse('2026-11-28T14:30:00Z'))
  t.equal(parse('2026-11-28t14:30:00.123456+02:00'), Date.parse('2026-11-28T12:30:00.123Z'))
  t.equal(parse('2026-11-28 14:30'), new Date(2026, 10, 28, 14, 30).getTime(), 'of this machine')
  t.equal(parse('2026-11-28'), new Date(2026, 10, 28).getTime())
})

t.test('says what is no time, and what is none of the past', async (t) => {
  for (const text of [
    '',
    'yesterday',
    '2026-02-31',
    '2026-13-01',
    '2026-11-28T25:00',
    '12:00',
    '2',
  ]) {
    t.throws(
      () => parse(text),
      { code: 'invalid', message: /^--at .*expected a time such as/ },
      text,
    )
  }
  t.throws(() => parse('2026-11-30'), { code: 'invalid', message: /in the future/ })
})
