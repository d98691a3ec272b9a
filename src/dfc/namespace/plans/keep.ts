/**
 * Keeps what a change takes away: an inode of its own gets the content and the attributes of the file, and a name in the
 * trash. Segments never change, and servers count who refers to them, so that nothing is copied.
 */
import { limits } from '../../../limits.js'
import { direntType, trashIno } from '../../../wire/records.js'
import { noVersion } from '../../../wire/version.js'
import type { Content } from '../../content/content.js'
import type { Node } from '../cache/node.js'
import type { SeenFolder } from '../cache/node-cache.js'
import { inodeBytes, type KeptFolder, type KeptRecord, keptInode, keptName } from '../kept.js'
import { newIno } from './new-inode.js'
import type { Sources } from './sources.js'
import type { TransactionBuilder } from './transaction-builder.js'

/** Adds what keeps a file that is about to lose its last name, or an empty folder, if the account keeps such. */
export async function keepRemoved(
  change: TransactionBuilder,
  sources: Sources,
  node: Node,
  { parent, name }: { readonly parent: number; readonly name: string },
): Promise<void> {
  const { trash, clock, cache } = sources
  const nowMs = clock.now()
  const place = { parent, name }
  if (!trash.isOn || !trash.rule.keepsRemoved(node, place, nowMs)) return
  const way = cache.wayTo(parent)
  const folder = way === undefined ? null : way.map((one) => `/${one.name}`).join('')
  const record = {
    kind: 'removed',
    ino: node.ino,
    folder,
    name,
    folders: attributesOf(way),
  } as const
  await keep(change, sources, node, record)
  change.afterwards(() => trash.rule.keptRemoved(place, nowMs))
}

/** Adds what keeps the content of a file that `after` is about to replace, if the account keeps such. */
export async function keepReplaced(
  change: TransactionBuilder,
  sources: Sources,
  node: Node,
  after: Content,
  name = '',
): Promise<void> {
  const { trash, clock } = sources
  const nowMs = clock.now()
  if (!trash.isOn || !trash.rule.keeps(node, after, nowMs)) return
  const record = { kind: 'replaced', ino: node.ino, folder: null, name, folders: [] } as const
  await keep(change, sources, node, record)
  change.afterwards(() => trash.rule.kept(node.ino, nowMs))
}

/** The attributes of all folders on a way; none when one of them is not known. */
function attributesOf(way: readonly SeenFolder[] = []): readonly KeptFolder[] {
  const known = way.flatMap(({ node }) => node ?? [])
  if (known.length < way.length) return []
  return known.map(({ inode: { mode, uid, gid } }) => ({ mode, uid, gid }))
}

async function keep(
  change: TransactionBuilder,
  { clock, random, trash }: Sources,
  { inode }: Node,
  record: KeptRecord,
): Promise<void> {
  if (inodeBytes(inode) > limits.keptValueBytesMax) return
  await trash.prepare()
  const ino = newIno(clock, random)
  const name = keptName(clock.now(), ino)
  change.requireNoNode(ino)
  change.requireEntry(trashIno, name, { ino: null, version: noVersion, type: 0 })
  change.writeEntry(trashIno, name, { ino, type: direntType(inode.mode) })
  change.writeNode(ino, keptInode(inode, record))
}
