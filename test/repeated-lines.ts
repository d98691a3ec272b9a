import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { limits } from '../src/limits.js'
import { RepeatedLines } from '../src/repeated-lines.js'

const sum = /^warning down \(\d+ more, the last at \d{4}-.*Z\)$/

t.test('says how often a line came when it comes no more, and begins anew', async (t) => {
  const said: string[] = []
  const lines = new RepeatedLines<string>((line, level) => void said.push(`${level} ${line}`), 50)
  for (let count = 0; count < 10; count += 1) lines.tell('down', 'warning')
  t.equal(said.length, limits.sameLineMax)
  await sleep(150)
  t.equal(said.at(-1)?.replace(/the last.*/, ''), 'warning down (7 more, ')
  t.match(said.at(-1), sum)
  lines.tell('down', 'warning')
  t.equal(said.at(-1), 'warning down')
})

/** Tells a line each 2 ms for a second. Returns what was said, and the longest time in ms without a line. */
async function tellForASecond(periodMs: number): Promise<readonly [readonly string[], number]> {
  const said: string[] = []
  const lines = new RepeatedLines<string>(
    (line, level) => void said.push(`${level} ${line}`),
    periodMs,
  )
  const begin = performance.now()
  let [lastMs, gapMs] = [begin, 0]
  while (lastMs - begin < 1_000) {
    lines.tell('down', 'warning')
    await sleep(2)
    const nowMs = performance.now()
    gapMs = Math.max(gapMs, nowMs - lastMs)
    lastMs = nowMs
  }
  return [said, gapMs]
}

t.test('of a cause that goes on for ever it says less and less', async (t) => {
  const periodMs = 40
  let [said, gapMs] = await tellForASecond(periodMs)
  // On a machine that is busy the cause was over at times.
  for (let attempt = 0; gapMs >= periodMs / 2 && attempt < 20; attempt += 1) {
    ;[said, gapMs] = await tellForASecond(periodMs)
  }
  t.equal(said.filter((line) => line === 'warning down').length, limits.sameLineMax - 1)
  const sums = said.filter((line) => sum.test(line))
  // After 40 ms, and 80, 160, 320 ms later.
  t.ok(sums.length >= 2 && sums.length <= 5, `${sums.length} sums`)
})

t.test('a cause that was over is news, however long it had gone on', async (t) => {
  const said: string[] = []
  const lines = new RepeatedLines<string>((line) => void said.push(line), 60)
  for (let count = 0; count < 60; count += 1) {
    lines.tell('down', 'warning')
    await sleep(5)
  }
  await sleep(200)
  lines.tell('down', 'warning')
  t.equal(said.at(-1), 'down')
})

t.test('a line that came a few times is not said once more', async (t) => {
  const said: string[] = []
  const lines = new RepeatedLines<string>((line) => void said.push(line), 20)
  for (let count = 0; count < limits.sameLineMax; count += 1) lines.tell('up', 'info')
  await sleep(80)
  t.equal(said.length, limits.sameLineMax)
})

t.test('lines of one kind that differ are one cause', async (t) => {
  const said: string[] = []
  const lines = new RepeatedLines<string>((line) => void said.push(line), 20)
  for (let count = 0; count < 50; count += 1) lines.tell(`piece ${count}`, 'info', 'pieces')
  t.equal(said.length, limits.sameKindMax)
  await sleep(80)
  t.match(said.at(-1), /^pieces \(30 more, /)
})

t.test('remembers a bounded number of causes, and says all lines of others', async (t) => {
  let count = 0
  const say = (): void => {
    count += 1
  }
  const lines = new RepeatedLines<string>(say, 60_000)
  for (let line = 0; line < limits.repeatedObjectsMax; line += 1) lines.tell(`${line}`, 'info')
  for (let line = 0; line < 10; line += 1) lines.tell('one more', 'info')
  t.equal(count, limits.repeatedObjectsMax + 10)
})
