import t from 'tap'
import { quoteWord, splitWords, wordsOf } from '../../../src/cli/terminal/words.js'

const lines: readonly (readonly [line: string, words: readonly string[]])[] = [
  ['', []],
  ['   ', []],
  ['LIST', ['LIST']],
  ['  put  a\tb ', ['put', 'a', 'b']],
  ['get "two words" x', ['get', 'two words', 'x']],
  ["get 'two words'", ['get', 'two words']],
  ['get two\\ words', ['get', 'two words']],
  ['a"b"\'c\'d', ['abcd']],
  ['"a\\"b\\\\c\\d"', ['a"b\\c\\d']],
  ["'a\\b\"c'", ['a\\b"c']],
  ['"" \'\'', ['', '']],
  ['\\" \\\' \\\\', ['"', "'", '\\']],
  ["get $'caf\\xe9' caf$'\\351'", ['get', 'caf\u{10ffe9}', 'caf\u{10ffe9}']],
  ["$'\\xc3\\xa9\\u00e9\\n\\'\\\\'x", ["éé\n'\\x"]],
  ['naïve "日本 語"', ['naïve', '日本 語']],
]

for (const [line, words] of lines) {
  t.test(`reads <${line}> as ${JSON.stringify(words)}`, async (t) => {
    t.same(wordsOf(line), words)
  })
}

for (const line of ['"', "put 'a", 'put "a\\"', 'put a\\']) {
  t.test(`refuses the unfinished <${line}>`, async (t) => {
    t.throws(() => wordsOf(line), { code: 'invalid', message: /unfinished/ })
  })
}

t.test('reports where each word of a line begins, quotes included', async (t) => {
  t.same(
    splitWords('put "a b" c').map(({ start }) => start),
    [0, 4, 10],
  )
})

t.test('a quoted word reads back as the same word', async (t) => {
  for (const text of [
    'a\n\u0085',
    "caf\u{10ffe9}1'\\",
    "$'a'",
    'plain',
    'two words',
    'a"b',
    "a'b",
    'a\\b',
    '',
    ' ',
    '\t',
    `'"\\ `,
  ]) {
    t.same(wordsOf(quoteWord(text)), [text], text)
    t.same(wordsOf(`${quoteWord(text, "$'")}'`), [text], `${text} with escapes`)
    if (/[\n\t\u{10ffe9}]/u.test(text)) continue
    t.same(wordsOf(`${quoteWord(text, '"')}"`), [text], `${text} in double quotes`)
    if (!text.includes("'"))
      t.same(wordsOf(`${quoteWord(text, "'")}'`), [text], `${text} in quotes`)
  }
})
