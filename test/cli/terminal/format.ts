import t from 'tap'
import {
  alignColumns,
  cutColumns,
  elapsedText,
  fitColumns,
  isoTime,
  listTime,
  modeText,
  sizeText,
  timeLeftText,
} from '../../../src/cli/terminal/format.js'
import { escapeName } from '../../../src/visible-text.js'

t.test('shows characters that could act on a terminal as escapes', async (t) => {
  t.equal(escapeName('plain name.txt'), 'plain name.txt')
  t.equal(escapeName('naïve 日本 👩‍🔬'), 'naïve 日本 👩‍🔬')
  t.equal(escapeName('a\nb\rc\td'), 'a\\nb\\rc\\td')
  t.equal(escapeName('\x1b[31mred\x07\x7f\x9b'), '\\x1b[31mred\\x07\\x7f\\u009b')
  t.equal(escapeName('exe\u202egnp.txt\u2028'), 'exe\\u202egnp.txt\\u2028')
})

const modes: readonly (readonly [mode: number, text: string])[] = [
  [0o100644, '-rw-r--r--'],
  [0o100000, '----------'],
  [0o040755, 'drwxr-xr-x'],
  [0o120777, 'lrwxrwxrwx'],
  [0o104755, '-rwsr-xr-x'],
  [0o102745, '-rwxr-Sr-x'],
  [0o041777, 'drwxrwxrwt'],
  [0o041776, 'drwxrwxrwT'],
  [0o010600, 'prw-------'],
  [0o020666, 'crw-rw-rw-'],
  [0o060660, 'brw-rw----'],
  [0o140755, 'srwxr-xr-x'],
]

for (const [mode, text] of modes) {
  t.test(`shows the mode ${mode.toString(8)} as ${text}`, async (t) => {
    t.equal(modeText(mode), text)
  })
}

t.test('shows the time of day for the last half year, the year for other times', async (t) => {
  const now = new Date(2026, 6, 1, 12, 0, 0).getTime()
  const at = (...parts: [number, number, number, number, number]) => ({
    seconds: new Date(...parts).getTime() / 1000,
    nanoseconds: 0,
  })
  t.equal(listTime(at(2026, 5, 3, 4, 5), now), 'Jun  3 04:05')
  t.equal(listTime(at(2025, 11, 24, 23, 59), now), 'Dec 24  2025')
  t.equal(listTime(at(2026, 6, 2, 0, 0), now), 'Jul  2  2026', 'the future has a year')
})

t.test('shows times with all nine digits', async (t) => {
  t.equal(isoTime({ seconds: 981_173_106, nanoseconds: 42 }), '2001-02-03T04:05:06.000000042Z')
  t.equal(isoTime({ seconds: -2, nanoseconds: 999_999_999 }), '1969-12-31T23:59:58.999999999Z')
  t.equal(isoTime({ seconds: 9e15, nanoseconds: 0 }), '@9000000000000000')
})

t.test('shows sizes in at most three digits', async (t) => {
  t.equal(sizeText(0), '0 B')
  t.equal(sizeText(999), '999 B')
  t.equal(sizeText(1000), '1.0 KiB')
  t.equal(sizeText(1536), '1.5 KiB')
  t.equal(sizeText(32 * 1024 * 1024), '32 MiB')
  t.equal(sizeText(2 ** 50), '1.0 PiB')
})

t.test('a duration is rounded up to what matters', async (t) => {
  t.equal(timeLeftText(1), '1 s')
  t.equal(timeLeftText(99_000), '99 s')
  t.equal(timeLeftText(99_001), '2 min')
  t.equal(timeLeftText(6_000_001), '2 h')
})

t.test('aligns columns and leaves no blanks at the ends of lines', async (t) => {
  t.same(
    alignColumns(
      [
        ['a', '1', 'x'],
        ['bbb', '22', 'yy'],
      ],
      ['left', 'right', 'left'],
    ),
    ['a    1 x', 'bbb 22 yy'],
  )
  t.same(alignColumns([], ['left']), [])
})

/** Names in several scripts, with the number of columns that a terminal shows them in. */
const wide: readonly (readonly [name: string, columns: number])[] = [
  ['alice', 5],
  ['日本語.txt', 10],
  ['한국어', 6],
  ['한국어'.normalize('NFD'), 6],
  ['étude'.normalize('NFD'), 5],
  ['Ａ１', 4],
  ['ｶﾀｶﾅ', 4],
  ['👍🏽 ok', 5],
  ['👩‍👩‍👧', 2],
  ['🇩🇪', 2],
  ['❤️', 2],
  ['שלום', 4],
]

t.test('aligns wide, narrow and combining characters by the columns of a terminal', async (t) => {
  for (const [name, columns] of wide) {
    const [first, second] = alignColumns(
      [
        [name, '1', 'x'],
        ['-'.repeat(12), '22', 'x'],
      ],
      ['left', 'right', 'left'],
    )
    t.equal(first, `${name}${' '.repeat(12 - columns)}  1 x`, name)
    t.equal(second, '------------ 22 x')
    t.same(alignColumns([[name], ['-'.repeat(12)]], ['right'])[0], ' '.repeat(12 - columns) + name)
  }
})

t.test('shows the end of a name in a width that does not change', async (t) => {
  for (const [name, columns] of wide) {
    t.equal(fitColumns(name, 12), name + ' '.repeat(12 - columns), name)
  }
  t.equal(fitColumns('/a/long/path.txt', 8), 'path.txt')
  t.equal(fitColumns('日本語', 3), '語 ', 'a character that does not fit in full is left out')
  t.equal(fitColumns('x👩‍👩‍👧', 2), '👩‍👩‍👧')
  t.equal(fitColumns('e\u0301', 0), '')
  t.equal(fitColumns('', 3), '   ')
})

t.test('formats an elapsed time by its two largest units', async (t) => {
  for (const [ms, text] of [
    [0, '0.0 s'],
    [940, '0.9 s'],
    [9_949, '9.9 s'],
    [9_950, '10 s'],
    [59_400, '59 s'],
    [60_000, '1 min 0 s'],
    [3_599_000, '59 min 59 s'],
    [7_500_000, '2 h 5 min'],
  ] as const) {
    t.equal(elapsedText(ms), text)
  }
})

t.test('cuts text at a column, not within a wide character', async (t) => {
  t.equal(cutColumns('abc', 3), 'abc')
  t.equal(cutColumns('abcd', 3), 'abc')
  t.equal(cutColumns('漢字', 3), '漢')
  t.equal(cutColumns('漢字', 4), '漢字')
})
