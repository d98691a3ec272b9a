/**
 * Waits until the four servers agree. Run as a program it asks them again and again until they do. It changes
 * nothing: the mount is to repair them by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { systemClock, systemRandom } from '../src/clock.js'
import { loadClientConfig } from '../src/config.js'
import { Cluster } from '../src/dfc/cluster/cluster.js'
import { tcpNetwork } from '../src/network.js'
import type { Reply } from '../src/wire/messages.js'
import { run } from './programs.js'

const deadlineMs = 60_000
const graceMs = 20_000
const pauseMs = 100
const program = fileURLToPath(import.meta.url)

/** Resolves when all four servers are up, have equal registers and have all of their pieces. */
export async function untilAgreed(clientConfig: string): Promise<void> {
  await run(process.execPath, [program, clientConfig], { deadlineMs: deadlineMs + graceMs })
}

if (process.argv[1] === program) {
  const [, , config = ''] = process.argv
  const cluster = await Cluster.open({
    config: loadClientConfig(config, {}),
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
  })
  const endMs = performance.now() + deadlineMs
  let states = await statesOf(cluster)
  while (!agree(states) && performance.now() < endMs) {
    await sleep(pauseMs)
    states = await statesOf(cluster)
  }
  if (!agree(states)) process.stderr.write(`not repaired in ${deadlineMs} ms: ${describe(states)}`)
  process.exit(agree(states) ? 0 : 1)
}

type State = Reply<'status'> | undefined

/** Returns the state of each server, undefined for one that is down. */
async function statesOf(cluster: Cluster): Promise<readonly State[]> {
  const outcomes = await cluster.ask([0, 1, 2, 3], 'status', () => ({}))
  return outcomes.map(({ answer }) => answer?.reply)
}

function agree(states: readonly State[]): boolean {
  const [first] = states
  return states.every(
    (one) => one?.state === 'voting' && one.misplaced === 0 && one.registers === first?.registers,
  )
}

function describe(states: readonly State[]): string {
  const words = states.map((one) =>
    one === undefined
      ? 'down'
      : `${one.state} ${one.registers} registers ${one.misplaced} misplaced`,
  )
  return words.join(', ')
}
