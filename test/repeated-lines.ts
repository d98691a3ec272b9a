import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { limits } from '../src/limits.js'
import { RepeatedLines } from '../src/repeated-lines.js'

t.test('says at the end of the period how often a line came, and begins anew', async (t) => {
  const said: string[] = []
  const lines = new RepeatedLines<string>((line, level) => void said.push(`${level} ${line}`), 50)
  for (let count = 0; count < 10; count += 1) lines.tell('down', 'warning')
  t.equal(said.length, limits.sameLineMax)
  await sleep(100)
  t.match(said.at(-1), /^warning down \(7 more, the last at \d{4}-.*Z\)$/)
  lines.tell('down', 'warning')
  t.equal(said.at(-1), 'warning down')
})

t.test('a line that came a few times is not said once more', async (t) => {
  const said: string[] = []
  const lines = new RepeatedLines<string>((line) => void said.push(line), 20)
  for (let count = 0; count < limits.sameLineMax; count += 1) lines.tell('up', 'info')
  await sleep(60)
  t.equal(said.length, limits.sameLineMax)
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
