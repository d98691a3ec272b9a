/** Registers that have rotted on one server come back from the others. */
import { serverIndexes } from '../../src/wire/placement.js'
import { quorum } from '../../src/wire/quorum.js'
import type { Client, Step } from './client.js'
import type { Reply } from './messages.js'
import { askForCopies } from './read.js'
import { recover } from './recovery.js'
import { type Key, newest, newestConfirmed } from './vocabulary.js'

/** Restores what has rotted on each server. */
export function* restore(client: Client): Step {
  for (const server of serverIndexes) {
    const reply = yield* client.askOne(server, { kind: 'rotten' })
    if (!reply) continue
    for (const key of reply.keys ?? []) yield* restoreRegister(client, server, key, reply)
  }
}

function* restoreRegister(client: Client, server: number, key: Key, rotten: Reply): Step {
  const { restoreQuorum, restoreMeetsLocks, registersConfirmed } = client.context.rules
  const others = serverIndexes.filter((index) => index !== server)
  const copies = yield* askForCopies(client, key, others)
  const [first, ...more] = copies
  if (!first || copies.length < (restoreQuorum ? quorum.confirm : 1)) return
  const isConfirmed = registersConfirmed && restoreQuorum
  const found = isConfirmed ? newestConfirmed(copies) : newest([first, ...more])
  if (!found) return
  const { version, value } = found
  const locks = copies.flatMap(({ lockedBy }) => (lockedBy && lockedBy > version ? lockedBy : []))
  if (restoreMeetsLocks && locks.length > 0) {
    for (const id of locks) yield* recover(client, id)
    return
  }
  const mark = rotten.mark ?? 0
  yield* client.askOne(server, { kind: 'restore', key, version, value, mark })
}
