import { execFileSync } from 'node:child_process'
import { constants } from 'node:fs'
import {
  appendFile,
  open,
  readdir,
  readFile,
  rename,
  stat,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  type Chunk,
  readLocalFile,
  Temporaries,
  writeLocalFile,
} from '../../../src/cli/local/local-file.js'
import { LocalFolder } from '../../../src/cli/local/local-folder.js'
import { temporaryName } from '../../../src/cli/local/stale-temporaries.js'
import { systemRandom } from '../../../src/clock.js'

const MiB = 1024 * 1024

async function* chunksOf(...texts: readonly string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text)
}

async function* failing(): AsyncGenerator<Buffer> {
  yield Buffer.from('half')
  throw new Error('the source failed')
}

const mtime = { seconds: 1_000_000_000, nanoseconds: 123_456_789 }
const write = async (path: string, chunks: AsyncIterable<Buffer>, temporaries = fresh()) => {
  const content = { size: 0, data: () => positioned(chunks, content) }
  await writeLocalFile(path, content, { mode: 0o640, mtime }, temporaries)
}

/** Chunks one behind the other, whose end is the size of the content. */
async function* positioned(
  chunks: AsyncIterable<Buffer>,
  content: { size: number },
): AsyncGenerator<Chunk> {
  for await (const bytes of chunks) {
    const at = content.size
    content.size += bytes.length
    yield { at, bytes }
  }
}

const fresh = (): Temporaries => new Temporaries(systemRandom)

t.test('writes a file with its mode and time and leaves nothing else', async (t) => {
  const folder = t.testdir({})
  await write(`${folder}/new`, chunksOf('one', 'two'))
  t.equal(await readFile(`${folder}/new`, 'utf8'), 'onetwo')
  const { mode, mtimeNs } = await stat(`${folder}/new`, { bigint: true })
  t.equal(mode & 0o7777n, 0o640n)
  t.equal(mtimeNs, 1_000_000_000_123_456_789n)
  t.same(await readdir(folder), ['new'])
})

t.test('leaves the existing file when the source fails', async (t) => {
  const folder = t.testdir({ old: 'before' })
  await t.rejects(write(`${folder}/old`, failing()), { message: 'the source failed' })
  await t.rejects(write(`${folder}/new`, failing()))
  t.equal(await readFile(`${folder}/old`, 'utf8'), 'before')
  t.same(await readdir(folder), ['old'])
})

t.test('what a process left that was killed goes, and nothing else', async (t) => {
  const own = temporaryName(systemRandom)
  const link = temporaryName(systemRandom)
  const kept = {
    [temporaryName(systemRandom)]: { inner: '' },
    '.dfc-temp-0123abcd-00': 'of another machine',
    '.dfc-0123456789abcdef01234567': 'set aside',
  }
  const folder = t.testdir({ ...kept, [own]: 'half' })
  await symlink('nowhere', `${folder}/${link}`)
  const other = await LocalFolder.open(folder, 'follow')
  await fresh().claim(other)
  t.same((await readdir(folder)).sort(), Object.keys(kept).sort(), 'removed by the first one')
  await writeFile(`${folder}/${own}`, 'half')
  await write(`${folder}/new`, chunksOf('one'))
  t.ok((await readdir(folder)).includes(own), 'another transfer is in the folder')
  await other.close()
  await write(`${folder}/new`, chunksOf('two'))
  t.same((await readdir(folder)).sort(), [...Object.keys(kept), 'new'].sort())
})

t.test('shows nothing under the name before the last byte', async (t) => {
  const folder = t.testdir({ old: 'before' })
  async function* watched(): AsyncGenerator<Buffer> {
    yield Buffer.from('half')
    t.equal(await readFile(`${folder}/old`, 'utf8'), 'before')
    t.equal((await readdir(folder)).length, 2, 'a temporary file stands beside it')
  }
  await write(`${folder}/old`, watched())
  t.equal(await readFile(`${folder}/old`, 'utf8'), 'half')
})

t.test('follows a symbolic link, and refuses a folder', async (t) => {
  const folder = t.testdir({ box: { real: 'x' }, link: t.fixture('symlink', 'box/real') })
  await write(`${folder}/link`, chunksOf('new'))
  t.equal(await readFile(`${folder}/box/real`, 'utf8'), 'new')
  t.same(await readdir(`${folder}/box`), ['real'])
  await t.rejects(write(`${folder}/box`, chunksOf('')), { code: 'isDirectory' })
  await t.rejects(write(`${folder}/none/x`, chunksOf('')), { message: /none\/x: No such file/ })
})

t.test('writes into a device and does not replace it', async (t) => {
  await write('/dev/null', chunksOf('gone'))
  t.ok((await stat('/dev/null')).isCharacterDevice())
})

t.test('an interruption ends what waits for a reader that does not read', async (t) => {
  const pipe = join(t.testdir({}), 'pipe')
  execFileSync('mkfifo', [pipe])
  const reader = await open(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
  t.teardown(() => reader.close())
  const interruption = new AbortController()
  const bytes = Buffer.alloc(MiB)
  const data = async function* (): AsyncGenerator<Chunk> {
    yield { at: 0, bytes }
  }
  const content = { size: MiB, data, interrupted: interruption.signal }
  const writing = writeLocalFile(pipe, content, { mode: 0o600, mtime }, fresh())
  setTimeout(() => interruption.abort(), 200)
  await t.rejects(writing, { message: /pipe: / })
})

t.test('replaces a file below /dev, and appends to one that is open already', async (t) => {
  const path = `/dev/shm/dfc-test-${process.pid}`
  t.teardown(() => unlink(path))
  await writeFile(path, 'before, and longer')
  await write(path, chunksOf('after'))
  t.equal(await readFile(path, 'utf8'), 'after')
  const file = await open(path, 'a')
  for (const folder of ['/dev/fd', '/proc/self/fd', `/proc/${process.pid}/fd`]) {
    await write(`${folder}/${file.fd}`, chunksOf('+'))
  }
  await file.close()
  t.equal(await readFile(path, 'utf8'), 'after+++')
})

t.test('a process that ends at once can remove its temporary files', async (t) => {
  const folder = t.testdir({})
  const temporaries = fresh()
  const source = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from('half')
    t.equal((await readdir(folder)).length, 1)
    temporaries.removeAll()
    t.same(await readdir(folder), [])
  }
  await t.rejects(write(`${folder}/x`, source(), temporaries), { message: /x: No such file/ })
  t.same(await readdir(folder), [])
})

/** Reads a file of three chunks and runs `meanwhile` after the first one. */
async function readWhile(t: Test, meanwhile: (path: string) => Promise<void>): Promise<Buffer> {
  const path = `${t.testdir({})}/file`
  await writeFile(path, Buffer.alloc(2 * MiB + 5, 'x'))
  await utimes(path, 1, 1)
  const file = await open(path, constants.O_RDONLY)
  const chunks: Buffer[] = []
  try {
    for await (const { bytes } of readLocalFile(file, await file.stat({ bigint: true }))) {
      chunks.push(bytes)
      if (chunks.length === 1) await meanwhile(path)
    }
  } finally {
    await file.close()
  }
  return Buffer.concat(chunks)
}

t.test('reads a file that stays as it is', async (t) => {
  const bytes = await readWhile(t, async () => undefined)
  t.ok(bytes.equals(Buffer.alloc(2 * MiB + 5, 'x')))
})

const changes: Readonly<Record<string, (path: string) => Promise<void>>> = {
  grew: (path) => appendFile(path, 'more'),
  'got shorter': (path) => truncate(path, MiB + 1),
  'was removed or replaced': (path) => unlink(path),
  'was changed': async (path) => {
    const file = await open(path, 'r+')
    await file.write('y', 0)
    await file.close()
  },
}

for (const [how, change] of Object.entries(changes)) {
  t.test(`notices that a file ${how} while it is read`, async (t) => {
    await t.rejects(readWhile(t, change), {
      code: 'stale',
      message: `the file ${how} while it was being read; nothing was stored`,
    })
  })
}

t.test('notices that a file was replaced while it is read', async (t) => {
  const replacing = readWhile(t, async (path) => {
    await writeFile(`${path}.new`, 'new')
    await rename(`${path}.new`, path)
  })
  await t.rejects(replacing, { code: 'stale' })
})

t.test('takes no file whose size says less than there is', async (t) => {
  const file = await open('/proc/cpuinfo')
  t.teardown(() => file.close())
  const chunks = readLocalFile(file, await file.stat({ bigint: true }))
  await t.rejects(chunks.next(), {
    code: 'unsupported',
    message: /more in it than its size/,
  })
})

t.test('one process at a time completes a file that was begun', async (t) => {
  const path = `${t.testdir({})}/file`
  const reached = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const data = async function* () {
    yield { at: 0, bytes: Buffer.from('half') }
    reached.resolve()
    await goOn.promise
    yield { at: 4, bytes: Buffer.from(' and half') }
  }
  const resume = (content: () => AsyncIterable<Chunk>) =>
    writeLocalFile(
      path,
      { size: 13, data: content, matching: () => Promise.resolve(0) },
      { mode: 0o640, mtime },
      fresh(),
    )
  const first = resume(data)
  await reached.promise
  const message = /file: another process is fetching it with --resume: wait/
  await t.rejects(resume(data), { code: 'busy', message })
  goOn.resolve()
  await first
  t.equal(await readFile(path, 'utf8'), 'half and half')
  await resume(data)
  t.equal(await readFile(path, 'utf8'), 'half and half')
})
