/** Tests that the session which README shows goes as it is shown there: each command is run again. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from './docs/documents.js'
import { columns, drawn, wrapped } from './docs/recording.js'
import { recordSession, steps } from './docs/session.js'
import { noMounts } from './fixtures/fuse-program.js'

t.setTimeout(120_000)

const skip = process.getuid?.() === 0 ? noMounts : 'a network of its own takes root'

t.test('the recorded session can be repeated', { skip }, async (t) => {
  const session = await recordSession()
  for (const [index, { command, says, status }] of steps.entries()) {
    const text = session[index]?.outputs.map((output) => output.text).join('') ?? ''
    t.match(text, says, command)
    t.equal(session[index]?.status, status, command)
  }
})

t.test('the recording shows all commands of the session, and what they said', async (t) => {
  const rows = [
    ...readFileSync(join(root, 'docs/images/session.svg'), 'utf8').matchAll(
      /<text class="m\d+( c)?"[^>]*>([^<]*)</g,
    ),
  ].map(([, isCommand, text = '']) => ({ isCommand: isCommand !== undefined, text: plain(text) }))
  const shown = rows.filter(({ isCommand }) => isCommand).map(({ text }) => text)
  t.same(
    shown,
    steps.flatMap(({ command }) => wrapped(`$ ${command}`)),
  )
  // A row that is full goes on in the next one.
  const all = rows.map(({ text }) => (text.length === columns ? text : `${text}\n`)).join('')
  for (const { says } of steps.filter(({ says }) => !says.test(''))) t.match(all, says)
})

t.test(
  'rows appear in the order of a session, and are cut where a terminal cuts them',
  async (t) => {
    const long = 'x'.repeat(columns + 1)
    const svg = drawn([
      { command: 'a && b', outputs: [{ afterMs: 100, text: `<one>\n${long}\n` }], status: 0 },
      { command: 'c', outputs: [], status: 0 },
    ])
    const rows = [...svg.matchAll(/<text class="(m\d+)[^>]*>([^<]*)</g)].map(([, when, text]) => [
      when,
      text,
    ])
    t.same(rows, [
      ['m0', '$ a &amp;&amp; b'],
      ['m1', '&lt;one&gt;'],
      ['m1', 'x'.repeat(columns)],
      ['m1', 'x'],
      ['m2', '$ c'],
    ])
    t.match(svg, '@keyframes k1 {')
  },
)

const plain = (text: string): string =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
