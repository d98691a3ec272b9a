import t from 'tap'
import { textOf } from '../../../src/byte-text.js'
import { linesOf } from '../../../src/cli/terminal/lines.js'

/** The lines of a stream of these chunks. */
async function lines(...chunks: readonly (string | Buffer)[]): Promise<string[]> {
  const stream = async function* () {
    for (const chunk of chunks) yield Buffer.from(chunk)
  }
  const found: string[] = []
  for await (const line of linesOf(stream())) found.push(line)
  return found
}

t.test('lines end at line feeds, wherever the chunks end', async (t) => {
  t.same(await lines('a\nb', 'c\n\n', 'd'), ['a', 'bc', '', 'd'])
  t.same(await lines('a\r\n', 'b\r', '\n'), ['a', 'b'])
  t.same(await lines(), [])
  t.same(await lines('\n'), [''])
})

t.test('a line has bytes that are not UTF-8, and characters across chunks', async (t) => {
  const bytes = Buffer.of(0x63, 0xe9)
  t.same(await lines(bytes, '\n'), [textOf(bytes)])
  const [first, ...rest] = Buffer.from('é')
  t.same(await lines(Buffer.of(first ?? 0), Buffer.from(rest)), ['é'])
})

t.test('an endless line is refused', async (t) => {
  const chunk = 'x'.repeat(400_000)
  await t.rejects(lines('a\n', chunk, chunk, chunk), { code: 'tooLarge', message: /longer than/ })
})
