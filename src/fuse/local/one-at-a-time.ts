/**
 * Mutual exclusion of the processes on this machine. The lock is a listening socket in the abstract namespace of
 * unix(7), so that it ends with the process, even by kill -9.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { DfsError } from '../../errors.js'

const pollMs = 50
const nameBytes = 16

/**
 * Runs `work` while no other process runs something under the lock `subject`, which may be any text. Throws `busy`
 * after `patienceMs`.
 */
export async function oneAtATime<T>(
  subject: string,
  patienceMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const turn = await takeTurn(subject, patienceMs)
  try {
    return await work()
  } finally {
    turn.close()
  }
}

async function takeTurn(subject: string, patienceMs: number): Promise<Server> {
  const digest = createHash('sha256')
    .update(subject)
    .digest('hex')
    .slice(0, nameBytes * 2)
  const deadlineMs = performance.now() + patienceMs
  for (;;) {
    // No messages are expected on this socket.
    const turn = createServer((socket) => socket.destroy())
    try {
      turn.listen(`\0dfs-${digest}`)
      await once(turn, 'listening')
      return turn
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      if (performance.now() > deadlineMs) {
        throw new DfsError('busy', `${subject} is in use by another process`, { cause: error })
      }
    }
    await sleep(pollMs)
  }
}
