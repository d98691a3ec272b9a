import t from 'tap'
import {
  byteLengthOf,
  bytesOf,
  compareTexts,
  isByteText,
  textOf,
  withVisibleBytes,
} from '../src/byte-text.js'
import { Seeded } from './fixtures/seeded.js'

function comesBack(bytes: Buffer): boolean {
  const text = textOf(bytes)
  return (
    bytesOf(text).equals(bytes) &&
    byteLengthOf(text) === bytes.length &&
    isByteText(text) &&
    Buffer.from(Buffer.from(text).toString()).equals(Buffer.from(text))
  )
}

t.test('any bytes come back from their text, and no two have the same', async (t) => {
  const texts = new Set<string>()
  for (let first = 0; first < 256; first += 1) {
    const bytes = [Buffer.of(first)]
    for (let second = 0; second < 256; second += 1) bytes.push(Buffer.of(first, second))
    for (const one of bytes) {
      if (!comesBack(one)) t.fail(one.toString('hex'))
      texts.add(textOf(one))
    }
  }
  t.equal(texts.size, 256 + 256 * 256)
  const random = new Seeded(1)
  const pieces = [
    'e9',
    'f48fbea9',
    'f48fbf',
    'eda080',
    'c080',
    'f4908080',
    'e29883',
    '61',
    'c3',
    'a9',
  ]
  for (let round = 0; round < 20_000; round += 1) {
    const drawn = [...random.bytes(round % 12)]
    const mixed = drawn.map((byte) => pieces[byte % pieces.length] ?? '').join('')
    for (const one of [random.bytes(round % 40), Buffer.from(mixed, 'hex')]) {
      if (!comesBack(one)) t.fail(one.toString('hex'))
    }
  }
})

t.test('valid UTF-8 is its own text', async (t) => {
  for (const text of ['', 'plain', 'naïve ☃ 👩‍🔬', '\ufffd', '\u{10ff7f}', '\ue0e9']) {
    t.equal(textOf(Buffer.from(text)), text)
  }
  t.equal(textOf(Buffer.from('caf\xe9', 'latin1')), 'caf\u{10ffe9}')
  t.equal(withVisibleBytes('caf\u{10ffe9}'), 'caf\\xe9')
})

t.test('another way to write the same bytes is no text of them', async (t) => {
  for (const text of [
    '\u{10ffc3}\u{10ffa9}',
    'a\u{10fff4}\u{10ff8f}\u{10ff81}\u{10ff80}',
    '\ud800',
  ]) {
    t.notOk(isByteText(text), JSON.stringify(text))
  }
})

t.test('texts are in the order of their UTF-8 bytes', async (t) => {
  const parts = ['', 'a', 'b', 'é', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '😀', '\u{10ffff}']
  const texts = parts.flatMap((one) => parts.map((other) => one + other))
  for (const one of texts) {
    for (const other of texts) {
      const wanted = Buffer.compare(Buffer.from(one), Buffer.from(other))
      if (Math.sign(compareTexts(one, other)) !== wanted) t.fail(JSON.stringify([one, other]))
    }
  }
})
