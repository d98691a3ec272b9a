import stringWidth from 'string-width'
import t from 'tap'
import { FileProgress } from '../../../src/cli/terminal/progress.js'
import { Tally } from '../../../src/cli/terminal/tally.js'
import { systemClock } from '../../../src/clock.js'

t.test('a line with a bar has room for the sizes', async (t) => {
  const tally = new Tally(systemClock).begin(999 * 1024 * 1024)
  tally.moved(998 * 1024 * 1024)
  const file = new FileProgress('\u65e5\u672c\u8a9e'.repeat(20), tally, () => {})
  for (let columns = 20; columns < 130; columns += 1) {
    const line = file.line(columns)
    if (!line.includes('[')) continue
    t.match(line, /998 MiB of 999 MiB$/)
    t.ok(stringWidth(line) < columns, `${stringWidth(line)} of ${columns} columns`)
  }
  t.match(file.line(100), /\[#+-*\]/, 'with a bar')
})
