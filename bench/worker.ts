/**
 * `worker.js TASK ARGUMENTS` does one thing many times with the plain calls of node:fs, so that the start of a process
 * is not part of the measurement, and prints the times as JSON. It is a separate process because one that serves a mount,
 * or that must not hang, cannot use the mount.
 */
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
  /** Number of existing files, of which `count` are used. */
  readonly of?: number
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

const tasks = {
  create: ({ path, bytes = 0, prefix = 'f' }) => {
    const content = Buffer.alloc(bytes, 'x')
    return { step: (index) => writeFileSync(nameOf(path, prefix, index), content, { flag: 'wx' }) }
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
  randomRead: ({ path, bytes = 0 }) => {
    const file = openSync(path, 'r')
    const block = Buffer.alloc(blockBytes)
    return { step: (index) => readSync(file, block, 0, blockBytes, somewhere(index, bytes)) }
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
