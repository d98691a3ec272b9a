/**
 * `worker.js TASK ARGUMENTS` does one thing many times with the plain calls of node:fs, so that the start of a process
 * is not part of the measurement, and prints the times as JSON. It is a separate process because one that serves a mount,
 * or that must not hang, cannot use the mount.
 */
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

export interface Order {
  readonly task: keyof typeof tasks
  /** Path of the folder or file to work on. */
  readonly path: string
  readonly count: number
  /** Bytes of each file or transfer. */
  readonly bytes?: number
  /** Time in seconds after which the worker stops early. */
  readonly secondsMax: number
  /** Prefix of names, different for each of several parallel workers. */
  readonly prefix?: string
  /** Number of existing files, of which `count` are used; or of new files in each folder. */
  readonly of?: number
  /** Number of repetitions that other orders have done before, whose places are not to be met again. */
  readonly from?: number
}

export interface Outcome {
  readonly done: number
  /** Total time, with the work before the first and after the last repetition. */
  readonly seconds: number
  readonly eachMs: readonly number[]
}

/** An action for each index, and one after the last. */
interface Task {
  readonly step: (index: number) => void
  readonly end?: () => void
}

const blockBytes = 4096
const treeFolderFiles = 1000
/** Bytes of a file of which no random read meets a part that another one has read. */
const apartBytes = 64 * 1024

const tasks = {
  create: ({ path, bytes = 0, prefix = 'f' }) => {
    const content = Buffer.alloc(bytes, 'x')
    return { step: (index) => writeFileSync(nameOf(path, prefix, index), content, { flag: 'wx' }) }
  },
  createFolders: ({ path, bytes = 0, of = 0 }) => {
    const content = Buffer.alloc(bytes, 'x')
    return {
      step: (index) => {
        const folder = nameOf(path, 'folder-', index)
        mkdirSync(folder)
        for (let file = 0; file < of; file += 1) writeFileSync(nameOf(folder, 'f', file), content)
      },
    }
  },
  overwrite: ({ path, bytes = 0, prefix = 'f' }) => {
    const content = Buffer.alloc(bytes, 'o')
    return { step: (index) => writeFileSync(nameOf(path, prefix, index), content) }
  },
  /** Saves as an editor does: writes a file beside the old one, then renames it over that. */
  save: ({ path, bytes = 0, prefix = 'f' }) => {
    const content = Buffer.alloc(bytes, 's')
    return {
      step: (index) => {
        const name = nameOf(path, prefix, index)
        writeFileSync(`${name}.new`, content, { flag: 'wx' })
        renameSync(`${name}.new`, name)
      },
    }
  },
  createTree: ({ path, prefix = '' }) => ({
    step: (index) => {
      if (index % treeFolderFiles === 0) mkdirSync(folderInTree(path, prefix, index))
      writeFileSync(nameInTree(path, prefix, index), '', { flag: 'wx' })
    },
  }),
  statTree: ({ path, prefix = '', of = 0 }) => ({
    step: (index) => lstatSync(nameInTree(path, prefix, (index * 2_654_435_761) % of)),
  }),
  read: ({ path, prefix = 'f' }) => ({
    step: (index) => readFileSync(nameOf(path, prefix, index)),
  }),
  stat: ({ path, prefix = 'f' }) => ({ step: (index) => lstatSync(nameOf(path, prefix, index)) }),
  rename: ({ path, prefix = 'f' }) => ({
    step: (index) => renameSync(nameOf(path, prefix, index), nameOf(path, `${prefix}r`, index)),
  }),
  unlink: ({ path, prefix = 'fr' }) => ({
    step: (index) => unlinkSync(nameOf(path, prefix, index)),
  }),
  list: ({ path }) => ({ step: () => readdirSync(path) }),
  randomRead: ({ path, bytes = 0, from = 0 }) => {
    const places = placesApart(bytes)
    const file = openSync(path, 'r')
    const block = Buffer.alloc(blockBytes)
    return {
      step: (index) => {
        const place = places[from + index]
        if (place === undefined) throw new Error(`the file has only ${places.length} places`)
        readSync(file, block, 0, blockBytes, place)
      },
    }
  },
  randomWrite: ({ path, bytes = 0 }) => {
    const file = openSync(path, 'r+')
    const block = Buffer.alloc(blockBytes, 'y')
    return {
      step: (index) => writeSync(file, block, 0, blockBytes, somewhere(index, bytes)),
      end: () => closeSync(file),
    }
  },
  append: ({ path }) => ({ step: (index) => appendFileSync(path, `this is line ${index}\n`) }),
  writeSync: ({ path }) => {
    const file = openSync(path, 'w')
    const block = Buffer.alloc(blockBytes, 'z')
    return {
      step: () => {
        writeSync(file, block)
        fsyncSync(file)
      },
      end: () => closeSync(file),
    }
  },
} satisfies Readonly<Record<string, (order: Order) => Task>>

function nameOf(folder: string, prefix: string, index: number): string {
  return join(folder, `${prefix}${String(index).padStart(6, '0')}`)
}

function folderInTree(path: string, prefix: string, index: number): string {
  return nameOf(path, prefix, Math.floor(index / treeFolderFiles))
}

function nameInTree(path: string, prefix: string, index: number): string {
  return nameOf(folderInTree(path, prefix, index), 'f', index)
}

/** Returns an offset for `index`, the same in every run: a multiple of a block, spread over the file. */
function somewhere(index: number, bytes: number): number {
  return ((index * 2_654_435_761) % Math.floor(bytes / blockBytes)) * blockBytes
}

/** Returns an offset in each 64 KiB of a file of `bytes`, in random order, which is the same in every run. */
function placesApart(bytes: number): readonly number[] {
  const blocks = apartBytes / blockBytes
  const places = Array.from({ length: Math.floor(bytes / apartBytes) }, (_, index) => ({
    offset: index * apartBytes + (hash(`block ${index}`) % blocks) * blockBytes,
    order: hash(`order ${index}`),
  }))
  return places.sort((a, b) => a.order - b.order).map(({ offset }) => offset)
}

function hash(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32LE()
}

function perform(order: Order): Outcome {
  const startMs = performance.now()
  const { step, end }: Task = tasks[order.task](order)
  const eachMs: number[] = []
  let nowMs = performance.now()
  for (let index = 0; index < order.count; index += 1) {
    step(index)
    const doneMs = performance.now()
    eachMs.push(doneMs - nowMs)
    nowMs = doneMs
    if (nowMs - startMs > order.secondsMax * 1000) break
  }
  end?.()
  return { done: eachMs.length, seconds: (performance.now() - startMs) / 1000, eachMs }
}

const order = JSON.parse(process.argv[2] ?? '{}') as Order
process.stdout.write(JSON.stringify(perform(order)))
