/** Tests that the documents are right about the source: names, numbers, tables and files. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { commands } from '../src/cli/commands/table.js'
import { AccountIndex } from '../src/dfs/index/account-index.js'
import { bringTablesUpToDate } from '../src/dfs/index/schema.js'
import { parseMountOptions } from '../src/fuse/mount/mount-options.js'
import { limits } from '../src/limits.js'
import { frameKind } from '../src/wire/frame.js'
import { messages, type Verb } from '../src/wire/messages.js'
import { pairOf, serverIndexes } from '../src/wire/placement.js'
import { inodeKey } from '../src/wire/records.js'
import { versionOf } from '../src/wire/version.js'
import { docComments, leaningComments, leans } from './docs/comments.js'
import { decisionRecords } from './docs/decisions.js'
import { documents, root, treeFiles } from './docs/documents.js'
import { rewritten } from './docs/generated.js'
import { biomeLayers, rooms } from './docs/rooms.js'
import { sampleInode } from './fixtures/inodes.js'
import { samples } from './fixtures/samples.js'
import { Seeded } from './fixtures/seeded.js'

const textOf = (document: string): string => readFileSync(join(root, document), 'utf8')

/** Documents of what was at some time: files that they name may have gone since. */
const isOfThePast = (document: string): boolean =>
  document === 'CHANGELOG.md' || document.startsWith('docs/notes/')

t.test('the generated parts are as `npm run docs` writes them', async (t) => {
  for (const document of documents) t.equal(textOf(document), rewritten(textOf(document)), document)
  t.match(textOf('docs/semantics.md'), '<!-- generated: errors -->\n| number | code |')
  t.throws(() => rewritten('<!-- generated: nothing --><!-- end -->'))
})

t.test('a table of limits whose value is wrong is put right', async (t) => {
  const table = (value: string): string =>
    `<!-- generated: limits -->\n| what | limit | value |\n|---|---|---|\n| a name | \`nameBytesMax\` | ${value} |\n<!-- end -->`
  t.equal(rewritten(table('200 bytes')), table('255 bytes'))
  t.throws(() => rewritten(table('1').replace('nameBytesMax', 'nameBitesMax')), /nameBitesMax/)
})

t.test('the protocol has one row for each verb, with its number and its fields', async (t) => {
  const rows = new Map<string, readonly [number: string, fields: string]>()
  for (const [, number = '', verb = '', fields = ''] of textOf('docs/protocol.md').matchAll(
    /^\| (\d+) \| (\w+) \| (->.*) \|/gm,
  )) {
    t.notOk(rows.has(verb), `one row for ${verb}`)
    rows.set(verb, [number, fields])
  }
  t.same([...rows.keys()].sort(), Object.keys(messages).sort())
  for (const [verb, [number, fields]] of rows) {
    t.equal(Number(number), messages[verb as Verb].number, verb)
    const [request = '', reply = ''] = fieldsLike(fields, rows).split(' <br> ')
    const sample = samples[verb as Verb]
    t.ok(namesInOrder(request, sample.request), `${verb}: fields of the request`)
    t.ok(namesInOrder(reply, sample.reply), `${verb}: fields of the reply`)
  }
})

/** The fields of another verb, where they are described as those. */
function fieldsLike(fields: string, rows: ReadonlyMap<string, readonly [string, string]>): string {
  const other = /^-> as (\w+) <br> <- as \1\b/.exec(fields)?.[1]
  return other === undefined ? fields : (rows.get(other)?.[1] ?? '')
}

/** Whether the names of a message's fields stand in `text` in the order in which they travel. */
function namesInOrder(text: string, sample: (random: Seeded) => object): boolean {
  const names = Object.keys(sample(new Seeded(1)))
  return new RegExp(names.map((name) => `\\b${name}\\b`).join('[^]*')).test(text)
}

t.test('bounds in the protocol are those of the limits', async (t) => {
  const protocol = textOf('docs/protocol.md')
  const bounds: readonly (readonly [RegExp, number])[] = [
    [/\b(?:last|after)?key (?:\| )?text\(([\d,]+)\)/gi, limits.keyBytesMax],
    [/\bvalue \| bytes\(([\d,]+)\)/g, limits.registerValueBytesMax],
    [/\bname text\(([\d,]+)\)/g, limits.nameBytesMax * limits.textBytesPerByte],
    [/\btarget text\(([\d,]+)\)/g, limits.symlinkBytesMax * limits.textBytesPerByte],
    [/\bkeys list\(key, ([\d,]+)\)/g, limits.readKeysMax],
    [/\bregisters list\(register, (?=5)([\d,]+)\)/g, limits.surveyEntriesMax],
    [/\bdecisions list\(decision, ([\d,]+)\)/g, limits.settlesMax],
    [/\blist\(segmentId, ([\d,]+)\)/g, limits.segmentsPerRequestMax],
  ]
  for (const [pattern, bound] of bounds) {
    const found = [...protocol.matchAll(pattern)].map(([, digits = '']) =>
      digits.replaceAll(',', ''),
    )
    t.not(found.length, 0, String(pattern))
    for (const digits of found) t.equal(Number(digits), bound, String(pattern))
  }
})

t.test('the protocol names every kind of frame', async (t) => {
  const protocol = textOf('docs/protocol.md')
  const { request, ...others } = frameKind
  t.equal(request, 0)
  for (const kind of Object.values(others)) {
    t.match(protocol, new RegExp(`^\\|.*0x${kind.toString(16).padStart(2, '0')}\\b.*\\|`, 'm'))
  }
  t.match(protocol, `number of the verb, 1 .. ${frameKind.recall - 1}`)
})

t.test('the columns of every table of the index are described in their order', async (t) => {
  const db = new Database(':memory:')
  t.teardown(() => db.close())
  bringTablesUpToDate(db, ':memory:')
  const storage = textOf('docs/storage.md')
  const columns = db.prepare('SELECT name FROM pragma_table_info(?)').pluck()
  for (const table of db
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .pluck()
    .all()) {
    const start = storage.indexOf(`\n**${table}**`)
    t.ok(start >= 0, `${table} is described`)
    const section = storage.slice(start, storage.indexOf('\n**', start + 1))
    for (const column of columns.all(table) as string[]) {
      if (column !== 'checksum')
        t.match(section, new RegExp(`[\`(, ]${column}[\`), ]`), `${table}: ${column}`)
    }
  }
  t.match(storage, `The number of the schema is ${db.pragma('user_version', { simple: true })}`)
})

t.test('every row of state that an index has is described', async (t) => {
  const path = join(t.testdir(), 'index.db')
  const index = AccountIndex.open(path)
  index.openedUnclean('a boot')
  index.isCopy('a file')
  index.registers.set(inodeKey(1), versionOf(1, 0, '00000001'), sampleInode({}))
  index.close()
  const db = new Database(path)
  t.teardown(() => db.close())
  const names = db.prepare('SELECT name FROM state').pluck().all() as string[]
  t.ok(names.includes('totals') && names.includes('file'))
  const storage = textOf('docs/storage.md')
  const rows = storage.slice(storage.indexOf('\n**state**'), storage.indexOf('\n## votes'))
  for (const name of names) t.match(rows, new RegExp(`^\\|.*\`${name}\`.*\\|.*\\|`, 'm'), name)
})

t.test('README is short, and its programs and images are there', async (t) => {
  const readme = textOf('README.md')
  t.ok(readme.trimEnd().split('\n').length <= 200)
  t.match(readme, '](docs/images/session.svg)')
  const operations = new Set(commands.map(({ name }) => name))
  const named = [...readme.matchAll(/\bdfc ([a-z][a-z-]+)/g)].map(([, name = '']) => name)
  for (const name of named) t.ok(operations.has(name), `dfc ${name}`)
  t.ok(named.length > 5)
})

t.test('the picture in README shows where the pieces are', async (t) => {
  const [line = ''] = /^.*\| P1 +P2 \|.*$/m.exec(textOf('README.md')) ?? []
  const shown = [...line.matchAll(/P(\d) +P(\d)/g)].map(([, ...pair]) => pair.map(Number))
  t.same(
    shown,
    serverIndexes.map((server) => pairOf(server, 0)),
  )
})

t.test('the manual has the operations of dfc with their options and operands', async (t) => {
  const manual = textOf('docs/manual.md')
  for (const { name, options, operands } of commands) {
    const flags = options.map(
      ([all]) => `[${(all.split(', ')[0] ?? '').replace(/\[\w+\]/, upper)}]`,
    )
    const syntax = [name, ...flags, operands].filter((word) => word !== '').join(' ')
    t.match(manual, `\n| \`${syntax}\` | `, syntax)
  }
})

const upper = (text: string): string => text.toUpperCase()

t.test('the manual has the words of -o', async (t) => {
  const rows = textOf('docs/manual.md').match(/^\| `-o .*$/gm) ?? []
  const named = rows.flatMap((row) =>
    [...(row.split(' | ')[0] ?? '').matchAll(/`(?:-o )?([\w=]+)`/g)].map(([, word = '']) => word),
  )
  for (const word of named) t.ok(parseMountOptions([word]), word)
  const { message } = t.throws(() => parseMountOptions(['nothing'])) as Error
  const known = message.split('expected one of ')[1]?.split(', ') ?? []
  t.ok(known.length > 10)
  const all = rows.join()
  for (const word of known) t.match(all, new RegExp(`\\b${word}\\b`), `${word} is named`)
})

t.test('every message in troubleshooting is one that a program prints', async (t) => {
  const literals = treeFiles.filter(isSource).flatMap((path) => literalsIn(textOf(path)))
  for (const [, cell = ''] of textOf('docs/troubleshooting.md').matchAll(/^\| (`.*?) \| /gm)) {
    for (const [, message = ''] of cell.matchAll(/`([^`-][^`]*)`/g)) {
      t.ok(literals.some((literal) => isMessage(message, literal)) || isOfSystem(message), message)
    }
  }
})

const isSource = (path: string): boolean => path.startsWith('src/') && path.endsWith('.ts')
const isOfSystem = (message: string): boolean => message === 'Transport endpoint is not connected'

/** The texts in quotes, each as its parts between values that are filled in. */
function literalsIn(source: string): readonly (readonly string[])[] {
  return [...source.matchAll(/'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`/g)].map(
    ([, plain, template]) => (plain ?? template ?? '').split(/\$\{[^}]*\}/),
  )
}

/** Whether one of the two has all parts of the other, which has enough of them to be told apart. */
function isMessage(message: string, literal: readonly string[]): boolean {
  const parts = message.split('...').map((part) => part.trim())
  return containsInOrder(literal.join(' '), parts) || containsInOrder(message, literal)
}

function containsInOrder(text: string, parts: readonly string[]): boolean {
  if (parts.join('').trim().length < 10) return false
  let at = 0
  return parts.every((part) => {
    const found = text.indexOf(part.trim(), at)
    at = found + part.trim().length
    return found >= 0
  })
}

t.test('files, folders and commands that a document names are there', async (t) => {
  const scripts = JSON.parse(textOf('package.json')).scripts as Record<string, string>
  const ownScripts = new Set(Object.keys(scripts))
  for (const document of documents.filter((path) => !isOfThePast(path))) {
    const text = textOf(document)
    for (const path of pathsIn(text)) t.ok(isInTree(path), `${document} names ${path}`)
    for (const [, script = ''] of text.matchAll(/\bnpm run ([a-z:]+)/g)) {
      t.ok(ownScripts.has(script), `${document} names npm run ${script}`)
    }
    for (const [, target = ''] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      t.ok(existsSync(join(root, dirname(document), target)), `${document} links to ${target}`)
    }
  }
})

t.test('a link to a section leads to one', async (t) => {
  for (const document of documents) {
    for (const [, path = '', anchor = ''] of textOf(document).matchAll(
      /\]\(([^)#:]*)#([^)]+)\)/g,
    )) {
      const target = path === '' ? document : join(dirname(document), path)
      t.ok(anchorsOf(target).has(anchor), `${document} links to ${target}#${anchor}`)
    }
  }
})

/** The anchors of a document's headings, as GitHub makes them of their text. */
function anchorsOf(document: string): ReadonlySet<string> {
  const headings = textOf(document).matchAll(/^#+ (.*)$/gm)
  const anchors = [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
  return new Set(anchors)
}

t.test(
  'the list in README has every document, and each word of the glossary one meaning',
  async (t) => {
    const linked = new Set([...textOf('README.md').matchAll(/\]\(([^)#]+)/g)].map(([, to]) => to))
    const pages = documents.filter((path) => /^docs\/[^/]+$/.test(path))
    for (const page of pages) t.ok(linked.has(page), page)
    const words = [...textOf('docs/glossary.md').matchAll(/^\| (?!word |-)([^|]+) \| \w/gm)]
    t.ok(words.length > 70)
    t.equal(new Set(words.map(([, word]) => word)).size, words.length)
  },
)

/** Paths from the folder of the project on, and names of source files, wherever they stand in a text. */
function pathsIn(text: string): ReadonlySet<string> {
  const whole = text.matchAll(
    /(?<![\w./-])((?:src|test|bench|examples|docs|scripts|dist\/\w+)\/[\w./-]*[\w/])/g,
  )
  const names = text.matchAll(/`([\w-]+(?:\/[\w-]+)*\.ts)`/g)
  return new Set([...whole, ...names].map(([, path = '']) => path))
}

/** A built file stands for its source, a decision for its number, and a name for any file of that name. */
function isInTree(path: string): boolean {
  const source = path
    .replace(/^dist\//, '')
    .replace(/(?<=^(?:src|test|bench|examples)\/.*)\.js$/, '.ts')
  if (existsSync(join(root, source))) return true
  if (/^docs\/decisions\/\d{4}$/.test(source))
    return treeFiles.some((file) => file.startsWith(`${source}-`))
  return treeFiles.some((file) => file.endsWith(`/${source}`))
}

t.test('every decision has a title, a status, a date, and the same sections', async (t) => {
  const records = decisionRecords()
  t.equal(
    new Set(records.map(({ number }) => number)).size,
    records.length,
    'numbers are used once',
  )
  for (const { file, title, status, date, sections } of records) {
    t.not(title, '', `${file}: a title behind its number`)
    t.match(status, /^(accepted|superseded by \d{4})$/, `${file}: status`)
    t.match(date, /^\d{4}-\d{2}-\d{2}$/, `${file}: date`)
    t.same(sections.slice(0, 3), ['Context', 'Decision', 'Consequences'], file)
    t.same(sections.slice(3), sections.length > 3 ? ['What was tried'] : [], file)
  }
})

t.test('every folder of the source is a room, and Biome holds what it may import', async (t) => {
  t.equal(textOf('biome.layers.json'), biomeLayers(), 'npm run docs')
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  const folders = files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join('src', dirname(file)))
  t.same([...new Set(folders)].sort(), Object.keys(rooms).sort())
})

t.test('a doc comment of the source needs no neighbour to be understood', async (t) => {
  t.same(leaningComments(), [])
  const [first, second] = docComments('const a = 1\n/** The same,\n * later. */\n/** Sums. */')
  t.same(first, { line: 2, text: 'The same, later.' })
  t.ok(leans(first?.text ?? ''))
  t.notOk(leans(second?.text ?? 'The same'))
  for (const text of ['As `find`, without asking.', 'So many fit.', 'Who waits gets one.']) {
    t.ok(leans(text), text)
  }
})
