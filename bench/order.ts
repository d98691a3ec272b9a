/** Runs a worker process that does one thing many times. */
import { join } from 'node:path'
import { run } from './programs.js'
import type { Order, Outcome } from './worker.js'

const workerProgram = join(import.meta.dirname, 'worker.js')
const secondsMaxDefault = 20
/** Time in ms, beyond that of the order, for one slow call and for the start of the process. */
const graceMs = 30_000

export async function work(order: Omit<Order, 'secondsMax'> & Partial<Order>): Promise<Outcome> {
  const full: Order = { secondsMax: secondsMaxDefault, ...order }
  const { output } = await run(process.execPath, [workerProgram, JSON.stringify(full)], {
    deadlineMs: full.secondsMax * 1000 + graceMs,
    keepOutput: true,
  })
  return JSON.parse(output) as Outcome
}

/** Runs an order and returns the ms that each repetition took. */
export async function msEach(order: Omit<Order, 'secondsMax'> & Partial<Order>): Promise<number> {
  const { seconds, done } = await work(order)
  return (seconds * 1000) / done
}
