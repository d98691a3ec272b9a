/**
 * Files with holes: what is written here and there takes room for itself alone, in any number of places,
 * and is there after a kill of the mount and after a server got a new disk.
 */
import { existsSync, rmSync, statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { attribute } from '../fixtures/attributes.js'
import { checkAll, clean, healNow, openClient } from '../fixtures/library.js'
import { isMounted, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

const skip = existsSync('/dev/fuse') ? false : 'there is no /dev/fuse'
const count = Number(process.env.EXTENTS ?? 20_000)
const blockBytes = 4096
const strideBytes = 65_536

t.setTimeout(300_000)

/** Blocks in an order that jumps about, with an fsync after each thousand. */
const writeBlocks = `
  const fs = require('node:fs')
  const [name, count, stride] = process.argv.slice(1).map((word, index) => index ? Number(word) : word)
  const file = fs.openSync(name, 'w')
  for (let index = 0; index < count; index += 1) {
    const block = (index * 7919) % count
    fs.writeSync(file, Buffer.alloc(${blockBytes}, String(block) + ' '), 0, ${blockBytes}, block * stride)
    if (index % 1000 === 999) fs.fsyncSync(file)
  }
  fs.fsyncSync(file)
  console.log(fs.fstatSync(file).blocks)
  if (process.env.STAY) setInterval(() => {}, 1000)`

const checkBlocks = `
  const fs = require('node:fs')
  const [name, count, stride] = process.argv.slice(1).map((word, index) => index ? Number(word) : word)
  const file = fs.openSync(name, 'r')
  const bytes = Buffer.alloc(${blockBytes})
  let wrong = 0
  for (let block = 0; block < count; block += 1) {
    fs.readSync(file, bytes, 0, ${blockBytes}, block * stride)
    if (!bytes.equals(Buffer.alloc(${blockBytes}, String(block) + ' '))) wrong += 1
    if (block === count - 1 || block % 50 !== 0) continue
    fs.readSync(file, bytes, 0, ${blockBytes}, block * stride + ${blockBytes})
    if (bytes.some((byte) => byte !== 0)) wrong += 1
  }
  console.log(wrong, fs.fstatSync(file).blocks)`

t.test(
  'scattered writes take room for themselves alone and are never lost',
  { skip },
  async (t) => {
    const servers = await startServerProcesses(t)
    const mounts = new TestMounts(t, servers.config())
    const mount = await mounts.start('mnt')
    const words = ['sparse', String(count), String(strideBytes)]
    const blocks = String((count * blockBytes) / 512)
    t.equal(await mount.node(writeBlocks, ...words), blocks, 'st_blocks is what was written')

    mount.process.kill('SIGKILL')
    await until(() => !isMounted(mount.mountpoint))
    const again = await mounts.start('mnt')
    t.equal(await again.node(checkBlocks, ...words), `0 ${blocks}`, 'after a kill of the mount')

    const client = await openClient(t, servers)
    await until(() => client.cluster.voters.length === 4)
    const status = await client.cluster.request(0, 'status', {})
    // A server has half of all bytes; what was merged and is not swept yet may come on top.
    const halfBytes = (count * blockBytes) / 2
    t.ok(status.reply.pieceBytes < halfBytes * 4, `${status.reply.pieceBytes} bytes of pieces`)

    await servers.kill(1)
    rmSync(servers.folders[1] ?? '', { recursive: true })
    await servers.start(1)
    await until(() => client.cluster.up.length === 4)
    t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
    const { garbage: _, ...rest } = clean
    t.match(await checkAll(client), rest)
    await servers.kill(0)
    t.equal(await again.node(checkBlocks, ...words), `0 ${blocks}`, 'from the disk that is new')
  },
)

const islandBytes = 512

/** Two bytes in each 512, copied as a whole until there are far more than a commit has room for; then some more. */
const makeIslands = `
  const fs = require('node:fs')
  const koffi = require('${createRequire(import.meta.url).resolve('koffi')}')
  const copy = koffi.load(null)
    .func('long copy_file_range(int, _Inout_ int64_t *, int, _Inout_ int64_t *, size_t, unsigned int)')
  const file = fs.openSync('islands', 'w+')
  const write = (index) => fs.writeSync(file, Buffer.from('ab'), 0, 2, index * ${islandBytes})
  for (let index = 0; index < 2000; index += 1) write(index)
  fs.ftruncateSync(file, 2000 * ${islandBytes})
  let count = 2000
  for (; count < ${limits.extentsMax * 1.5}; count *= 2) {
    const bytes = count * ${islandBytes}
    if (copy(file, [0], file, [bytes], bytes, 0) !== bytes) throw new Error(String(koffi.errno()))
  }
  for (let index = 0; index < 500; index += 1) write(count + index * 2)
  fs.closeSync(file)
  console.log(count, fs.statSync('islands').blocks * 512)`

const checkIslands = `
  const fs = require('node:fs')
  const bytes = fs.readFileSync('islands')
  let islands = 0
  for (let at = 0; at < bytes.length; at += ${islandBytes}) {
    if (bytes[at] === 97 && bytes[at + 1] === 98) islands += 1
    bytes.fill(0, at, at + 2)
  }
  console.log(islands, bytes.equals(Buffer.alloc(bytes.length)))`

t.test('more islands than a commit has room for are stored all the same', { skip }, async (t) => {
  const servers = await startServerProcesses(t)
  const mounts = new TestMounts(t, servers.config())
  const mount = await mounts.start('mnt')
  const [islands, bytes] = (await mount.node(makeIslands)).split(' ').map(Number)
  t.equal(islands, 256_000)
  t.ok(Number(bytes) < 0.75 * 256_000 * islandBytes, `${bytes} bytes are stored`)
  // Attributes have room beside them.
  await mount.out(`${attribute} set islands user.large "$(printf %60000s x)"`)
  await mount.close()
  const again = await mounts.start('again')
  t.equal(await again.node(checkIslands), `${256_000 + 500} true`)
})

t.test(
  'fallocate says no where there is no room, and punches beyond everything',
  { skip },
  async (t) => {
    const servers = await startServerProcesses(t)
    const mounts = new TestMounts(t, servers.config())
    const mount = await mounts.start('mnt')
    await mount.out('touch large kept')
    const { blocks, bsize } = statfsSync(servers.folders[0] ?? '')
    // No test can tell on a disk that has more than the largest file.
    if (blocks * bsize < 120 * 1024 ** 3) {
      const refused = await mount.sh('fallocate -l 250GiB large')
      t.match(refused, { status: 1, problems: /No space left/ })
      t.match(await mount.sh('fallocate -n -l 250GiB large'), { problems: /No space left/ })
    }
    t.equal(await mount.out('stat -c %s large'), '0')
    await mount.out('printf %100000s x > punched && fallocate -p -o 0 -l 1TiB punched')
    t.equal(await mount.out('stat -c "%s %b" punched'), '100000 0')
    await mount.out('fallocate -n -l 1MiB kept && printf abc | dd of=kept conv=notrunc status=none')
    t.equal(await mount.out('stat -c %s kept'), '3')
  },
)
