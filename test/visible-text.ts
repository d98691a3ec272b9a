import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'
import { notice, redirectNotices } from '../src/log.js'
import { visibleLine } from '../src/visible-text.js'

t.test('a line of the log is one line, whatever is in it', async (t) => {
  const lines: string[] = []
  redirectNotices((line) => lines.push(line))
  notice('"a\nb\x1b[2Jc\u202ed\u009b" has lost data')
  t.equal(lines.length, 1)
  t.match(lines[0], /^\S+ "a\\nb\\x1b\[2Jc\\u202ed\\u009b" has lost data$/)
  notice('x'.repeat(100_000))
  t.ok((lines[1] ?? '').length < 5000, 'its length is bounded')
})

t.test('a line of DEBUG is one line, whatever is in it', async (t) => {
  const file = resolve(import.meta.dirname, '../src/log.js')
  const what = '"/a\\n\\x1b[2J%s", new Error("b\\nc")'
  const program = `import(${JSON.stringify(file)}).then((m) => m.debugDfs("%s: %o", ${what}))`
  const env = { ...process.env, DEBUG: 'dfs:*', DEBUG_COLORS: '1' }
  const { stderr } = spawnSync(process.execPath, ['-e', program], { env })
  const lines = stderr.toString().trimEnd().split('\n')
  t.equal(lines.length, 1)
  t.match(lines[0], /dfs:dfs \/a\\n\\x1b\[2J%s: /)
  t.match(lines[0], 'Error: b')
  t.notMatch(lines[0], '\u001b')
})

t.test('what is harmless stays as it is', async (t) => {
  t.equal(visibleLine('"caf\u00e9 \u4e2d" $\'x\''), '"caf\u00e9 \u4e2d" $\'x\'')
  t.equal(visibleLine('caf\u{10ffe9}'), 'caf\\xe9')
})
