/** The root folder of a new account, which the first client makes. */
import { randomBelow, sleep } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { encodeInode, fileType, inodeKey, rootIno } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Registers } from '../quorum/registers.js'
import type { Transactions } from '../quorum/transaction.js'
import { newInode } from './plans/new-inode.js'

/** Resolves when the account has a root folder, made by this client or another. */
export async function makeRoot(
  cluster: Cluster,
  registers: Registers,
  transactions: Transactions,
): Promise<void> {
  for (let attempt = 0; attempt < limits.conflictAttemptsMax; attempt += 1) {
    if (await makeRootOnce(cluster, registers, transactions)) return
    // Several clients that begin at once may abort one another's attempts.
    await sleep(cluster.clock, randomBelow(cluster.random, 20 << attempt))
  }
  throw new DfsError('busy', 'the root folder could not be created; try again')
}

async function makeRootOnce(
  cluster: Cluster,
  registers: Registers,
  transactions: Transactions,
): Promise<boolean> {
  const [register] = await registers.read([inodeKey(rootIno)])
  if (register === undefined || register.value !== null) return true
  const inode = newInode(
    { mode: fileType.folder | 0o755, uid: processId('uid'), gid: processId('gid') },
    rootIno,
    cluster.clock.time(),
  )
  const key = inodeKey(rootIno)
  const { committed } = await transactions.commit({
    writes: [{ key, value: encodeInode(inode) }],
    preconditions: [{ key, absent: true, version: register.version }],
    emptyFolders: [],
  })
  return committed
}

function processId(kind: 'uid' | 'gid'): number {
  return (kind === 'uid' ? process.getuid?.() : process.getgid?.()) ?? 0
}
