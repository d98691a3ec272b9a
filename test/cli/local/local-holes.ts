import { execFileSync } from 'node:child_process'
import { open, writeFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { dataIn, type LocalRange } from '../../../src/cli/local/local-holes.js'

const KiB = 1024
const MiB = 1024 * KiB

/** Makes a file of `size` bytes with data in `ranges` alone, and returns where data is found. */
async function found(t: Test, size: number, ...ranges: readonly LocalRange[]) {
  return foundWithin(t, size, ranges, { at: 0, length: size })
}

async function foundWithin(
  t: Test,
  size: number,
  ranges: readonly LocalRange[],
  within: LocalRange,
) {
  const path = `${t.testdir({})}/file`
  await writeFile(path, '')
  const file = await open(path, 'r+')
  try {
    for (const { at, length } of ranges) await file.write(Buffer.alloc(length, 'x'), 0, length, at)
    await file.truncate(size)
    await file.sync()
    const data: LocalRange[] = []
    const info = await file.stat({ bigint: true })
    for await (const range of dataIn(file, info, within)) data.push(range)
    return data
  } finally {
    await file.close()
  }
}

t.test('finds the data of a part of a file', async (t) => {
  const data = [{ at: 2 * MiB, length: MiB }]
  const within = (at: number, length: number) => foundWithin(t, 8 * MiB, data, { at, length })
  t.same(await within(0, 2 * MiB), [])
  t.same(await within(2 * MiB + 64 * KiB, 4 * MiB), [
    { at: 2 * MiB + 64 * KiB, length: MiB - 64 * KiB },
  ])
  t.same(await within(MiB, 2 * MiB - 64 * KiB), [{ at: 2 * MiB, length: MiB - 64 * KiB }])
  t.same(await within(4 * MiB, 4 * MiB), [])
})

t.test('finds holes in front of data, between, and behind', async (t) => {
  const ranges = [
    { at: MiB, length: 64 * KiB },
    { at: 3 * MiB, length: MiB },
  ]
  t.same(await found(t, 10 * MiB, ...ranges), ranges)
})

t.test('takes a file without holes, and an empty one, as it is', async (t) => {
  t.same(await found(t, MiB, { at: 0, length: MiB }), [{ at: 0, length: MiB }])
  t.same(await found(t, 0), [])
  t.same(await found(t, 10 * MiB), [])
})

t.test('takes short holes for data', async (t) => {
  const size = MiB + 40 * KiB
  const data = await found(
    t,
    size,
    { at: 8 * KiB, length: 4 * KiB },
    { at: 32 * KiB, length: 4 * KiB },
    { at: MiB, length: 4 * KiB },
  )
  t.same(data, [
    { at: 0, length: 36 * KiB },
    { at: MiB, length: 40 * KiB },
  ])
})

t.test('a file with very many holes is cut into few ranges', async (t) => {
  const path = `${t.testdir({})}/file`
  const script =
    'import sys\nf = open(sys.argv[1], "wb")\nfor i in range(3000): f.seek(i << 20); f.write(b"x" * 4096)\nf.truncate(1 << 40)'
  execFileSync('python3', ['-c', script, path])
  const file = await open(path)
  t.teardown(() => file.close())
  let count = 0
  for await (const { length } of dataIn(file, await file.stat({ bigint: true }))) {
    count += 1
    t.ok(length > 0)
  }
  t.equal(count, 1, 'holes of a MiB are short in a file of a TiB')
})
