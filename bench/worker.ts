/**
 * `worker.js TASK ARGUMENTS` does one thing many times with the plain calls of node:fs, so that the
 * start of a process is not what is measured, and prints what it took as JSON. It is a process of its
 * own: one that serves a mount, or that must not hang, cannot do this.
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
  /** A folder or a file. */
  readonly path: string
  readonly count: number
  /** Of each file or transfer. */
  readonly bytes?: number
  /** Stops early after so long. */
  readonly secondsMax: number
  /** Sets the work of parallel workers apart. */
  readonly prefix?: string
  /** How many there are, of which `count` are used. */
  readonly of?: number
}

export interface Outcome {
  readonly done: number
  /** All of it, also what comes before the first and after the last. */
  readonly seconds: number
  readonly eachMs: readonly number[]
}

/** What is done for each index, and what after the last. */
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

/** The same places in every run: multiples of a block, spread over the file. */
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
