/** The folders that are in no other one, which the first client makes: the root of a new account, and the trash. */
import { randomBelow, sleep } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { encodeInode, fileType, inodeKey, rootIno, trashIno } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Registers } from '../quorum/registers.js'
import type { Transactions } from '../quorum/transaction.js'
import { newInode } from './plans/new-inode.js'

/** The parts of a client that make a folder. */
export interface FolderMaker {
  readonly cluster: Cluster
  readonly registers: Registers
  readonly transactions: Transactions
}

/** Resolves when the account has a root folder, made by this client or another. */
export function makeRoot(maker: FolderMaker): Promise<void> {
  return makeFolder(maker, rootIno, 0o755)
}

/** Resolves when the account has a folder for what is kept. */
export function makeTrash(maker: FolderMaker): Promise<void> {
  return makeFolder(maker, trashIno, 0o700)
}

async function makeFolder(maker: FolderMaker, ino: number, permissions: number): Promise<void> {
  const { clock, random } = maker.cluster
  for (let attempt = 0; attempt < limits.conflictAttemptsMax; attempt += 1) {
    if (await makeOnce(maker, ino, permissions)) return
    // Several clients that begin at once may abort one another's attempts.
    await sleep(clock, randomBelow(random, 20 << attempt))
  }
  const what = ino === rootIno ? 'the root folder' : 'the trash'
  throw new DfsError('busy', `${what} could not be created; try again`)
}

async function makeOnce(
  { cluster, registers, transactions }: FolderMaker,
  ino: number,
  permissions: number,
): Promise<boolean> {
  const key = inodeKey(ino)
  const [register] = await registers.read([key])
  if (register === undefined || register.value !== null) return true
  const inode = newInode(
    { mode: fileType.folder | permissions, uid: processId('uid'), gid: processId('gid') },
    ino,
    cluster.clock.time(),
  )
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
