import t from 'tap'
import { durationText, parseDuration, parseWait } from '../src/duration.js'

t.test('a duration is a number with a unit', async (t) => {
  t.equal(parseDuration('90s'), 90_000)
  t.equal(parseDuration('7d'), 7 * 86_400_000)
  for (const text of ['', '7', 'd', '0d', '-1d', '1.5h', '7 d', '7w', '9999999999s']) {
    t.equal(parseDuration(text), undefined, text)
  }
})

t.test('a wait is seconds, or a number with a unit', async (t) => {
  for (const [text, ms] of [
    ['90', 90_000],
    ['90s', 90_000],
    ['0', 0],
    ['1.5m', 90_000],
    ['2min', 120_000],
    ['2h', 7_200_000],
  ] as const) {
    t.equal(parseWait(text), ms, text)
  }
  for (const text of ['', 'm', '-1s', '1d', '1 m', '.5s', '9999999999s']) {
    t.equal(parseWait(text), undefined, text)
  }
})

t.test('a duration is shown by the largest unit that says it', async (t) => {
  for (const text of ['1s', '90s', '10m', '36h', '7d']) {
    t.equal(durationText(parseDuration(text) ?? 0), text)
  }
  t.equal(durationText(parseDuration('48h') ?? 0), '2d')
  t.equal(durationText(400), '0s')
})
