/** VERSIONS: lists what a file was before, as far as the trash keeps it. */
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { KeptFile } from '../../dfc/namespace/trash.js'
import { DfsError } from '../../errors.js'
import type { Inode } from '../../wire/records.js'
import { historyOf } from '../paths/kept-files.js'
import { isFolder } from '../paths/remote-path.js'
import { forEach, type Session } from '../session.js'
import { alignColumns, isoTime, sizeText } from '../terminal/format.js'
import type { Command } from './command.js'

export const versions: Command = {
  name: 'versions',
  operands: 'FILE',
  operandsMin: 1,
  operandsMax: 1,
  summary: 'list the earlier versions of a file that are kept',
  details:
    'UNTIL is when a version was replaced or removed. GET --at fetches one, and TRASH restore ID --to NAME makes it a file again.',
  options: [['--json', 'print a JSON array']],
  completes: ['remote'],

  run: (session, operands, options) =>
    forEach(session, operands, async (path) => {
      const { versions: all, now } = await historyOf(session, path)
      const versions = all.filter(({ node }) => !isFolder(node))
      const isNone = now === undefined && versions.length === 0
      if (isNone || (now !== undefined && isFolder(now))) throw new DfsError('isDirectory')
      if (options.json === true) printObjects(session, versions, now)
      else printTable(session, versions, now)
    }),
}

function printObjects({ output }: Session, versions: readonly KeptFile[], now?: Node): void {
  const kept = versions.map(({ id, kind, sinceMs, node }) => ({
    id,
    until: new Date(sinceMs).toISOString(),
    how: kind,
    ...described(node.inode),
  }))
  const current = now === undefined ? [] : [{ until: null, ...described(now.inode) }]
  output.print(JSON.stringify([...kept, ...current], undefined, 2))
}

function printTable({ output }: Session, versions: readonly KeptFile[], now?: Node): void {
  const rows = [
    ['UNTIL', 'SIZE', 'MODIFIED', 'ID'],
    ...versions.map(({ id, sinceMs, node }) =>
      rowOf(new Date(sinceMs).toISOString(), node.inode, id),
    ),
    ...(now === undefined ? [] : [rowOf('now', now.inode, '')]),
  ]
  for (const line of alignColumns(rows, ['left', 'right', 'left', 'left'])) {
    output.print(line.trimEnd())
  }
}

function rowOf(until: string, { size, mtime }: Inode, id: string): string[] {
  return [until, sizeText(size), isoTime(mtime), id]
}

function described({ size, mtime }: Inode): object {
  return { size, mtime: isoTime(mtime) }
}
