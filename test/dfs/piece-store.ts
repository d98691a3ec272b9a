import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FolderPieces } from '../../src/dfs/folder-pieces.js'
import { MemoryPieces } from '../../src/dfs/memory-pieces.js'
import { keepsTheContract, survivesAFullDisk } from '../fixtures/piece-store-contract.js'

const segment = 'ab112233445566778899aabbccddeeff'

/** Whether a small file system can be mounted here. */
const canMount = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status === 0

t.test('a folder of the disk keeps the contract', async (t) => {
  await keepsTheContract(t, (t) => new FolderPieces(t.testdir({})))
})

t.test('the memory keeps the contract', async (t) => {
  await keepsTheContract(t, () => new MemoryPieces(() => Date.now()))
})

t.test('the memory survives being full', async (t) => {
  await survivesAFullDisk(t, new MemoryPieces(() => 0, 1_000_000))
})

t.test('a folder survives a full disk', { skip: !canMount && 'needs root' }, async (t) => {
  const folder = t.testdir({})
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder])
  try {
    await survivesAFullDisk(t, new FolderPieces(folder))
    t.same(readdirSync(join(folder, 'uploads')), [])
  } finally {
    execFileSync('umount', [folder])
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
  t.equal(String(await store.read({ segment, piece: 1 }, 0, 6)), 'stored')
})

t.test('a list passes over files that are no pieces', async (t) => {
  const folder = t.testdir({ pieces: { ab: { 'notes.txt': 'x', [`${segment}.5`]: 'x' } } })
  for await (const { piece } of new FolderPieces(folder).list()) t.fail(`piece ${piece}`)
})
