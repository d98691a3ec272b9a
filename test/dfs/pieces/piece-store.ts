import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FolderPieces } from '../../../src/dfs/pieces/folder-pieces.js'
import { MemoryPieces } from '../../../src/dfs/pieces/memory-pieces.js'
import { PageMemory } from '../../../src/memory/page-memory.js'
import { keepsTheContract, survivesAFullDisk } from '../../fixtures/piece-store-contract.js'
import { Seeded } from '../../fixtures/seeded.js'
import { mountSmallDisk, noSmallDisk } from '../../fixtures/small-disk.js'

const segment = 'ab112233445566778899aabbccddeeff'

t.test('a folder of the disk keeps the contract', async (t) => {
  await keepsTheContract(t, (t) => new FolderPieces(t.testdir({})))
})

t.test('a folder past the cache of the kernel keeps the contract', async (t) => {
  const memory = new PageMemory(2)
  await keepsTheContract(t, (t) => new FolderPieces(t.testdir({}), memory))
  t.ok(memory.take() && memory.take(), 'everything that was lent was given back')
})

t.test('a piece of parts that were received at pages is the piece that was sent', async (t) => {
  const memory = new PageMemory(1)
  const store = new FolderPieces(t.testdir({}), memory)
  const buffer = memory.take() ?? Buffer.alloc(0)
  const content = new Seeded(5).bytes(3 * 65_536 + 5000)
  const writer = store.writer({ segment, piece: 1 })
  for (const [at, end] of [
    [0, 65_536],
    [65_536, 2 * 65_536],
    [2 * 65_536, content.length],
  ] as const) {
    const part = buffer.subarray(buffer.length - (end - at))
    content.copy(part, 0, at, end)
    t.equal(memory.isAligned(part), end < content.length)
    await writer.append(part)
    buffer.fill(0)
  }
  await writer.finish()
  memory.give(buffer)
  for (let time = 1; time <= 3; time += 1) {
    const { bytes, release } = await store.read({ segment, piece: 1 }, 0, content.length)
    t.same(bytes, content, `read for the ${time}. time`)
    release()
  }
  const { bytes, release } = await store.read({ segment, piece: 1 }, 65_536, 70_000)
  t.same(bytes, content.subarray(65_536, 135_536), 'a part in the middle')
  release()
})

t.test('memory is lent to one at a time, and begins and ends at pages', async (t) => {
  const memory = new PageMemory(2)
  const [first, second] = [memory.take(), memory.take()]
  if (first === undefined || second === undefined) throw new Error('there were two')
  t.equal(memory.take(), undefined)
  first.fill(1)
  second.fill(2)
  t.ok(first.every((byte) => byte === 1))
  t.ok(memory.isAligned(first) && memory.isAligned(second.subarray(4096)))
  t.notOk(memory.isAligned(first.subarray(1)))
  t.notOk(memory.isAligned(Buffer.alloc(4096)))
  memory.give(first)
  t.throws(() => memory.give(first), 'not twice')
  t.equal(memory.take(), first)
})

t.test('the memory keeps the contract', async (t) => {
  await keepsTheContract(t, () => new MemoryPieces(() => Date.now()))
})

t.test('the memory survives being full', async (t) => {
  await survivesAFullDisk(t, new MemoryPieces(() => 0, 1_000_000))
})

t.test('a folder survives a full disk', { skip: noSmallDisk }, async (t) => {
  const folder = t.testdir({})
  const takeOff = mountSmallDisk(folder, '1m')
  try {
    await survivesAFullDisk(t, new FolderPieces(folder))
    t.same(readdirSync(join(folder, 'uploads')), [])
  } finally {
    takeOff()
  }
})

t.test('a disk that can have no more files has no space', { skip: noSmallDisk }, async (t) => {
  const folder = t.testdir({})
  const takeOff = mountSmallDisk(folder, '8m', 40)
  try {
    const store = new FolderPieces(folder)
    t.ok((await store.space()).freeBytes > 4_000_000)
    for (let index = 0; index < 40; index += 1) {
      const file = join(folder, `other-${index}`)
      if (spawnSync('touch', [file], { stdio: 'ignore' }).status !== 0) break
    }
    t.equal((await store.space()).freeBytes, 0)
  } finally {
    takeOff()
  }
})

t.test('a piece is a file that holds its raw bytes and nothing else', async (t) => {
  const folder = t.testdir({})
  const store = new FolderPieces(folder)
  store.put({ segment, piece: 3 }, Buffer.from('raw bytes'))
  t.equal(readFileSync(join(folder, 'pieces', 'ab', `${segment}.3`), 'utf8'), 'raw bytes')
})

t.test('what a crash left unfinished is gone when the folder is opened again', async (t) => {
  const folder = t.testdir({})
  const store = new FolderPieces(folder)
  await store.writer({ segment, piece: 1 }).append(Buffer.alloc(10))
  t.equal(readdirSync(join(folder, 'uploads')).length, 1)
  t.equal(new FolderPieces(folder) instanceof FolderPieces, true)
  t.same(readdirSync(join(folder, 'uploads')), [])
})

t.test('the stump that a crash left in the place of a piece is replaced', async (t) => {
  const folder = t.testdir({})
  mkdirSync(join(folder, 'pieces', 'ab'), { recursive: true })
  writeFileSync(join(folder, 'pieces', 'ab', `${segment}.1`), 'st')
  const store = new FolderPieces(folder)
  store.put({ segment, piece: 1 }, Buffer.from('stored'))
  t.equal(String((await store.read({ segment, piece: 1 }, 0, 6)).bytes), 'stored')
})

t.test('a list passes over files that are no pieces', async (t) => {
  const folder = t.testdir({ pieces: { ab: { 'notes.txt': 'x', [`${segment}.5`]: 'x' } } })
  for await (const { piece } of new FolderPieces(folder).list()) t.fail(`piece ${piece}`)
})
