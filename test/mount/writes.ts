/**
 * Files written in pieces of any size, here and there, beyond the end of a segment: what another mount
 * reads afterwards is what was written, byte for byte.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { TestMounts } from '../fixtures/mount.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const [writer, reader] = await Promise.all([mounts.start('a'), mounts.start('b')])

const MiB = 1024 * 1024
/** Of a file: two ends of segments lie within. */
const bytesMax = 2 * limits.segmentBytesMax + 3 * MiB
/** What a write may carry: a multiple of what the kernel gives to the mount at once, and a little more. */
const writeBytesMax = 2 * MiB + 10_000
const source = new Seeded(1).bytes(8 * MiB)

/** As many small lengths as large ones: each number of digits is as likely. */
function length(random: Seeded): number {
  const digits = random.below(22)
  return Math.min(writeBytesMax, 1 + random.below(2 ** digits))
}

function writeAll(file: number, bytes: Buffer, at: number): void {
  for (let from = 0; from < bytes.length; ) {
    from += writeSync(file, bytes, from, bytes.length - from, at + from)
  }
}

function contentOf(path: string): Buffer {
  const file = openSync(path, 'r')
  const bytes = Buffer.alloc(fstatSync(file).size)
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(file, bytes, at, Math.min(MiB, bytes.length - at), at)
    if (count === 0) break
    at += count
  }
  closeSync(file)
  return bytes
}

/** Writes a file in `writes` parts; returns what it must be. */
function write(path: string, random: Seeded, writes: number, lengthOf: () => number): Buffer {
  const expected = Buffer.alloc(bytesMax)
  const file = openSync(path, 'w')
  let size = 0
  for (let count = 0; count < writes && size < bytesMax - writeBytesMax; count += 1) {
    const from = random.below(source.length - writeBytesMax)
    const bytes = source.subarray(from, from + lengthOf())
    const chance = random.below(100)
    const at = chance < 85 ? size : random.below(size + 1)
    writeAll(file, bytes, at)
    bytes.copy(expected, at)
    size = Math.max(size, at + bytes.length)
    if (chance !== 99) continue
    size = random.below(size + 1)
    ftruncateSync(file, size)
    expected.fill(0, size)
  }
  closeSync(file)
  return expected.subarray(0, size)
}

for (const seed of [1, 2, 3, 4]) {
  t.test(`parts of any size, seed ${seed}`, async (t) => {
    const random = new Seeded(seed)
    const few = join(writer.mountpoint, `few-${seed}`)
    const small = write(few, random, 60, () => length(random))
    t.ok(contentOf(join(reader.mountpoint, `few-${seed}`)).equals(small), `${small.length} bytes`)
    // A little first, so that nothing lies where a segment, or a request of the kernel, begins.
    const many = join(writer.mountpoint, `many-${seed}`)
    const first = length(random)
    let isFirst = true
    const large = write(many, random, 200, () => {
      const next = isFirst ? first : [MiB, MiB - 4096, 128 * 1024, 2 * MiB][random.below(4)]
      isFirst = false
      return next ?? MiB
    })
    t.ok(contentOf(join(reader.mountpoint, `many-${seed}`)).equals(large), `${large.length} bytes`)
    t.ok(contentOf(many).equals(large), 'also where it was written')
  })
}
