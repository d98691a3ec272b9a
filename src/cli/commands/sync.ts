/** SYNC: makes a folder on the servers like a local one, or the other way round, and moves only what differs. */
import { lstat, stat } from 'node:fs/promises'
import { localPath } from '../../byte-text.js'
import { DfsError } from '../../errors.js'
import { findPath, isFolder } from '../paths/remote-path.js'
import type { Session } from '../session.js'
import { FileDownload } from '../transfer/download.js'
import { isStream } from '../transfer/targets.js'
import type { TransferOptions } from '../transfer/transfer.js'
import { FileUpload } from '../transfer/upload.js'
import type { Command } from './command.js'
import { checksumRow, faultInPatterns, filterRows, transferOptions } from './transfer-options.js'

export const sync: Command = {
  name: 'sync',
  operands: 'FROM TO',
  operandsMin: 2,
  operandsMax: 2,
  summary: 'make one folder like another: --up LOCAL REMOTE, or --down REMOTE LOCAL',
  details: [
    'Leaves files with the same size and modification time alone. Files that only the second folder has stay',
    'there, unless --delete is given. Deletes nothing when anything failed, or when the first folder is missing',
    'or empty.',
  ].join(' '),
  options: [
    ['--up', 'from a local folder to one on the servers'],
    ['--down', 'from a folder on the servers to a local one'],
    ['-n, --dry-run', 'print what would be done, and do nothing'],
    ['--delete', 'delete from the second folder what the first one does not have'],
    checksumRow,
    ...filterRows,
    ['--resume', 'with --down: if it ends early, keep what has arrived; continue from there'],
  ],
  completes: ['local', 'remote'],

  faultIn(operands, options) {
    if ((options.up === true) === (options.down === true)) {
      return 'say which way: sync --up LOCAL REMOTE, or sync --down REMOTE LOCAL'
    }
    return operands.some(isStream)
      ? 'sync takes two folders, and no stream'
      : faultInPatterns(options)
  },

  async run(session, [from = '', to = ''], options) {
    const given = transferOptions(options)
    const sameBy = given.sameBy === 'content' ? 'content' : 'time'
    const wanted: TransferOptions = { ...given, sameBy, recursive: true, stats: true }
    if (options.up === true) {
      const source = await localSource(from)
      return new FileUpload(session, wanted).run([{ source, target: to, isSpelledOut: true }])
    }
    await assertRemoteFolder(session, from)
    return new FileDownload(session, wanted).run([{ source: from, target: to, isSpelledOut: true }])
  },
}

/** The local folder to be read, behind a link. Throws unless it is there. */
async function localSource(path: string): Promise<string> {
  const found = await stat(localPath(path)).catch(() => undefined)
  if (found === undefined) throw new DfsError('notFound', `${path}: No such file or directory`)
  if (!found.isDirectory()) throw new DfsError('notDirectory', `${path}: Not a directory`)
  return (await lstat(localPath(path))).isSymbolicLink() ? `${path}/.` : path
}

async function assertRemoteFolder({ client }: Session, path: string): Promise<void> {
  const node = await findPath(client.namespace, path).catch((cause: unknown) => {
    if (!(cause instanceof DfsError)) throw cause
    throw new DfsError(cause.code, `${path}: ${cause.message}`, { cause })
  })
  if (!isFolder(node)) throw new DfsError('notDirectory', `${path}: Not a directory`)
}
