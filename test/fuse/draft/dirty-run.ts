import { createHash } from 'node:crypto'
import t from 'tap'
import { ChunkPool } from '../../../src/fuse/draft/chunk-pool.js'
import { DirtyRun } from '../../../src/fuse/draft/dirty-run.js'
import { limits } from '../../../src/limits.js'
import { Seeded } from '../../fixtures/seeded.js'

const random = new Seeded(1)
const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex')
const filled = (...lengths: readonly number[]): { run: DirtyRun; bytes: Buffer } => {
  const run = new DirtyRun(new ChunkPool(), 100)
  const parts = lengths.map((length) => random.bytes(length))
  for (const part of parts) run.append(Buffer.from(part))
  return { run, bytes: Buffer.concat(parts) }
}

t.test('holds what was appended, whatever the sizes', async (t) => {
  for (const lengths of [[1], [5, 7, 100_000], [65_536, 65_536, 1], [1_048_576, 3], [3_000_001]]) {
    const { run, bytes } = filled(...lengths)
    t.equal(run.length, bytes.length)
    t.equal(run.end, 100 + bytes.length)
    t.ok(Buffer.concat(run.parts()).equals(bytes), String(lengths))
    const digest = await run.digest()
    if (digest !== undefined) t.equal(digest.md5, md5(bytes))
  }
})

t.test('digests on the way what is longer than a chunk', async (t) => {
  const { run, bytes } = filled(1_048_576, 1_048_576, 1_048_576, 17)
  t.equal((await run.digest())?.md5, md5(bytes))
  run.append(Buffer.from('more'))
  t.equal(
    (await run.digest())?.md5,
    md5(Buffer.concat([bytes, Buffer.from('more')])),
    'and goes on',
  )
})

t.test('knows no digest once a digested byte was changed', async (t) => {
  const { run } = filled(1_048_576, 1_048_576, 1_048_576, 17)
  run.overwrite(150, Buffer.from('x'))
  t.equal(await run.digest(), undefined)
})

t.test('may be changed where it is not digested yet', async (t) => {
  const { run, bytes } = filled(1_048_576, 1_048_576, 1_048_576, 17)
  run.overwrite(100 + bytes.length - 2, Buffer.from('x'))
  bytes.write('x', bytes.length - 2)
  t.equal((await run.digest())?.md5, md5(bytes))
})

t.test('can be cut anywhere and go on from there', async (t) => {
  for (const length of [1, 65_536, 65_537, 1_500_000, 2_097_152]) {
    const { run, bytes } = filled(10, 2_500_000)
    run.cutAt(100 + length)
    run.append(Buffer.from('tail'))
    const expected = Buffer.concat([bytes.subarray(0, length), Buffer.from('tail')])
    t.ok(Buffer.concat(run.parts()).equals(expected), String(length))
    const digest = await run.digest()
    if (digest !== undefined) t.equal(digest.md5, md5(expected))
  }
})

t.test('takes no more than a segment', async (t) => {
  const run = new DirtyRun(new ChunkPool(), 0)
  const step = Buffer.alloc(5_000_000, 1)
  let taken = 0
  for (let last = 1; last > 0; ) {
    last = run.append(step)
    taken += last
  }
  t.equal(taken, limits.segmentBytesMax)
  t.ok(run.isFull)
  run.release()
})
