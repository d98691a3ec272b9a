import { createHash } from 'node:crypto'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { localDigests } from '../../../src/dfc/content/digests.js'
import { sharedBuffer, ThreadDigests } from '../../../src/dfc/content/thread-digests.js'
import { checksumsOf } from '../../../src/wire/checksum.js'
import { temporaryFolder } from '../../fixtures/mortal.js'
import { Seeded } from '../../fixtures/seeded.js'

const random = new Seeded(8)
const md5 = (...parts: Buffer[]): string =>
  createHash('md5').update(Buffer.concat(parts)).digest('hex')
const shared = (bytes: Buffer): Buffer => {
  const buffer = sharedBuffer(bytes.length)
  bytes.copy(buffer)
  return buffer
}

for (const [name, make] of [
  ['the thread that asks', () => localDigests],
  ['a thread beside it', () => new ThreadDigests()],
] as const) {
  t.test(`${name} makes digests of what several writers give`, async (t) => {
    const digests = make()
    t.teardown(() => digests.close())
    const writers = [0, 1, 2].map(() => ({ digest: digests.begin(), parts: [] as Buffer[] }))
    for (let round = 0; round < 5; round += 1) {
      for (const { digest, parts } of writers) {
        const bytes = random.bytes(1 + random.below(100_000))
        parts.push(bytes)
        digest.update(round % 2 === 0 ? shared(bytes) : bytes)
      }
    }
    const rest = random.bytes(1000)
    for (const { digest, parts } of writers) {
      const all = await digest.digest([shared(rest), rest])
      t.equal(all?.md5, md5(...parts, rest, rest))
      if (all?.checksums !== undefined) {
        t.same(all.checksums, checksumsOf(Buffer.concat([...parts, rest, rest])))
      }
      t.equal((await digest.digest([]))?.md5, md5(...parts), 'and goes on without the rest')
      digest.end()
    }
  })
}

t.test('a digest is undefined at once when the thread has ended', async (t) => {
  const digests = new ThreadDigests()
  const digest = digests.begin()
  digest.update(Buffer.alloc(1000))
  const asked = digest.digest([])
  digests.close()
  t.equal(await asked, undefined)
  t.equal(await digest.digest([]), undefined)
  t.equal(await digests.begin().digest([]), undefined)
  digest.update(Buffer.alloc(1))
  digest.end()
})

t.test(
  'no thread of another release, installed under this process, computes a digest',
  async (t) => {
    const folder = temporaryFolder('dfs-digests-')
    const here = resolve(import.meta.dirname, '../../../src')
    cpSync(here, join(folder, 'dist/src'), { recursive: true })
    symlinkSync(resolve(here, '../../node_modules'), join(folder, 'node_modules'))
    const release = (version: string): void =>
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ version, type: 'module' }))
    release('1.0.0')
    const old = join(folder, 'dist/src/dfc/content')
    const { ThreadDigests: Old } = await import(join(old, 'thread-digests.js'))
    const digests: ThreadDigests = new Old()
    t.teardown(() => digests.close())
    release('1.1.0')
    const thread = readFileSync(join(old, 'digest-thread.js'), 'utf8')
    writeFileSync(
      join(old, 'digest-thread.js'),
      thread.replace("digest('hex')", "digest('base64')"),
    )
    t.equal(await digests.begin().digest([Buffer.from('x')]), undefined, 'it is computed without')
    t.equal(await digests.begin().digest([Buffer.from('x')]), undefined, 'and so is the next one')
  },
)
