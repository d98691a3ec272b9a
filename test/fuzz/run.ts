/**
 * Sends random and mutated frames to a real `dfs-server` process, batch after batch, while another
 * user goes on working there. After each batch: the server is the same process, its memory is
 * bounded, and the other user was served in time. Every other batch is sent inside of TLS.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { limits } from '../../src/limits.js'
import { formatVerifier, makeVerifier, scramIterations } from '../../src/wire/scram.js'
import { Bystander, summaryOf, type Took } from '../fixtures/bystander.js'
import { forkMortal, temporaryFolder } from '../fixtures/mortal.js'
import { isRunning, memoryOf, startServerProcess, workedMsOf } from '../fixtures/server-process.js'
import type { Batch, BatchOutcome } from './attacker.js'

export interface FuzzOptions {
  readonly seed: number
  readonly frames: number
  /** Time in ms after which the run ends even if frames are left. */
  readonly msMax: number
  /** Begins with this batch: to repeat a failure. */
  readonly firstBatch: number
  /** Where the server's folder is made. */
  readonly folder: string
  readonly say: (line: string) => void
}

export interface FuzzOutcome {
  readonly batches: number
  readonly judged: number
  readonly sent: number
  readonly sentBytes: number
  readonly connections: number
  readonly seconds: number
  readonly peakMiB: number
  readonly medianMs: number
  readonly worst: Took
  readonly violations: readonly string[]
}

const framesPerBatch = 25_000
/** Most memory that a server may take under any attack, in MiB. */
const rssMaxMiB = 512
const password = 'fuzz'
/** Each batch has an account of its own, until they begin anew. */
const userCount = 256
const blankEvery = 8
const nothing = { medianMs: Number.NaN, worst: { what: 'nothing', ms: Number.NaN, workMs: 0 } }
/** Time in ms in which a server must answer, however busy the machine is. */
const stuckMs = 30_000
/** A batch takes some seconds, on a busy machine some tens of them. */
const batchMsMax = 180_000

export async function runFuzz(options: FuzzOptions): Promise<FuzzOutcome> {
  const { seed, frames, msMax, firstBatch, folder, say } = options
  const home = temporaryFolder('dfs-fuzz-', folder)
  const told: string[] = []
  const begin = performance.now()
  const total = { judged: 0, sent: 0, sentBytes: 0, connections: 0 }
  const violations: string[] = []
  const took: Took[] = []
  let peakMiB = 0
  let batch = firstBatch
  const server = await startServerProcess(folderIn(home), await usersIn(home), 0, (lines) => {
    told.push(lines)
    told.splice(0, told.length - 50)
  })
  const attacker = forkMortal(join(import.meta.dirname, 'attacker.js'))
  const ended = Promise.race([once(server.process, 'exit'), once(attacker, 'exit')])
  try {
    const workedMs = (): number => (isRunning(server.process) ? workedMsOf(server.process) : 0)
    const bystander = await Bystander.open(server.port, 'bystander', password, workedMs)
    while (
      total.judged < frames &&
      violations.length === 0 &&
      (performance.now() - begin < msMax || batch === firstBatch)
    ) {
      const wanted: Batch = {
        port: server.port,
        user: `user${batch % userCount}`,
        password,
        tls: batch % 2 === 1,
        isBlank: batch % blankEvery === blankEvery - 1,
        seed: (seed * 65_537 + batch) >>> 0,
        frames: Math.min(framesPerBatch, frames - total.judged),
      }
      bystander.watch()
      attacker.send(wanted)
      const outcome = await outcomeOf(attacker, ended)
      const memory = isRunning(server.process) ? memoryOf(server.process) : undefined
      peakMiB = Math.max(peakMiB, memory?.peakMiB ?? 0)
      if (typeof outcome === 'object') {
        for (const what of ['judged', 'sent', 'sentBytes', 'connections'] as const) {
          total[what] += outcome[what]
        }
        violations.push(...outcome.violations)
      }
      if (memory === undefined) violations.push(`the server ended: ${told.join('\n')}`)
      else if (outcome === undefined) violations.push('the attacker ended')
      else if (outcome === 'late') violations.push(`no end within ${batchMsMax} ms`)
      if (peakMiB > rssMaxMiB) violations.push(`the server took ${Math.round(peakMiB)} MiB`)
      batch += 1
      // A server that is stuck serves nobody: that has been said.
      if (outcome === 'late') break
      const { isServed, worst, medianMs } = await served(bystander, took)
      if (isServed !== undefined) violations.push(isServed)
      say(
        `batch ${batch - 1}: ${total.judged} frames, ${total.connections} connections; ` +
          `RSS ${Math.round(memory?.nowMiB ?? 0)} MiB, at most ${Math.round(peakMiB)}; ` +
          `the other user: ${medianMs.toFixed(1)} ms, at most ${worst.ms.toFixed(0)} (${worst.what})`,
      )
    }
    bystander.close()
  } finally {
    attacker.kill()
    await server.kill()
    rmSync(home, { recursive: true, force: true })
  }
  const where = ` (--seed ${seed} --batch ${batch - 1})`
  return {
    ...total,
    batches: batch - firstBatch,
    seconds: (performance.now() - begin) / 1000,
    peakMiB,
    ...(took.length === 0 ? nothing : summaryOf(took)),
    violations: violations.map((violation) => violation + where),
  }
}

/** What the attacker tells of a batch; undefined when it or the server has ended. */
async function outcomeOf(
  attacker: ChildProcess,
  ended: Promise<unknown>,
): Promise<BatchOutcome | 'late' | undefined> {
  const stop = new AbortController()
  const { signal } = stop
  const quietly = <T>(wait: Promise<T>): Promise<T | undefined> => wait.catch(() => undefined)
  try {
    return await Promise.race([
      quietly(once(attacker, 'message', { signal })).then((args) => args?.[0] as BatchOutcome),
      quietly(pause(batchMsMax, 'late' as const, { signal })),
      ended.then(() => undefined),
    ])
  } finally {
    stop.abort()
  }
}

/** What the bystander met during a batch; one more round shows that it is served afterwards. */
async function served(bystander: Bystander, all: Took[]) {
  try {
    const during = [...(await bystander.took())]
    await bystander.round()
    during.push(...(await bystander.took()))
    all.push(...during)
    const { medianMs, worst } = summaryOf(during)
    const late = during.find(({ ms, workMs }) => workMs > limits.requestTimeoutMs || ms > stuckMs)
    const isServed =
      late &&
      `the other user waited ${late.ms} ms for ${late.what}, ${late.workMs} of them for work`
    return { isServed, medianMs, worst }
  } catch (thrown) {
    const worst = { what: 'nothing', ms: Number.POSITIVE_INFINITY, workMs: 0 }
    return { isServed: `the other user: ${String(thrown)}`, medianMs: worst.ms, worst }
  }
}

function folderIn(home: string): string {
  const folder = join(home, 'DFS1')
  mkdirSync(folder)
  return folder
}

/** The fewest rounds that are allowed, since every connection of the attacker derives a key. */
async function usersIn(home: string): Promise<string> {
  const salt = Buffer.alloc(16, 1)
  const verifier = formatVerifier(await makeVerifier(password, salt, scramIterations.least))
  const names = ['bystander', ...Array.from({ length: userCount }, (_, index) => `user${index}`)]
  const file = join(home, 'dfs.conf')
  const tables = names.map((name) => `[users.${name}]\nverifier = "${verifier}"\n`)
  writeFileSync(file, tables.join('\n'))
  return file
}
