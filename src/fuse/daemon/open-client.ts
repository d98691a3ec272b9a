/**
 * Opens the client of a mount, and waits for servers that are not up yet, as they may not be when machines start
 * together. It waits for as many as changes need, and then goes on with those that are there.
 */
import { systemClock } from '../../clock.js'
import { Client, type ClientOptions } from '../../dfc/client.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { quorum } from '../../wire/quorum.js'

export interface Patience {
  readonly waitMs: number
  /** Called once, with what it waits for, when it has to wait. */
  readonly waiting: (line: string) => void
  /** Ends the wait. */
  readonly ended: AbortSignal
}

/** Throws what `Client.open` throws, and `down` when the wait was ended. A refusal is not waited for. */
export async function openClient(options: ClientOptions, patience: Patience): Promise<Client> {
  const { waitMs, waiting, ended } = patience
  const untilMs = systemClock.monotonic() + waitMs
  const client = await Client.open(options)
  if (waitMs === 0 || isEnough(client)) return client
  const missing = client.cluster.links.filter(({ index }) => !client.cluster.voters.includes(index))
  const names = missing.map(({ name }) => name).join(', ')
  const seconds = Math.round(waitMs / 1000)
  waiting(`waiting up to ${seconds} s until ${quorum.commit} servers are up; not there: ${names}`)
  while (!isEnough(client) && systemClock.monotonic() < untilMs) {
    if (ended.aborted) {
      await client.close()
      throw new DfsError('down', 'ended while it waited for servers')
    }
    await new Promise((done) => setTimeout(done, limits.mountWaitStepMs))
  }
  if (!isEnough(client)) return client
  // What an account needs once is made when it is opened with enough servers.
  await client.close()
  return await Client.open(options)
}

function isEnough({ cluster }: Client): boolean {
  return cluster.voters.length >= quorum.commit
}
