/** LIST: lists the names in a folder, with ` [incomplete]` behind those that cannot be read in full now. */
import type { ListedName, Node } from '../../dfc/namespace/cache/node.js'
import { direntType } from '../../wire/records.js'
import { pagesOf } from '../paths/list-folder.js'
import { followPath, isFolder } from '../paths/remote-path.js'
import { forEach, type Session } from '../session.js'
import { AccountNames } from '../terminal/accounts.js'
import {
  alignColumns,
  isoTime,
  listTime,
  modeText,
  nameField,
  typeWord,
} from '../terminal/format.js'
import { baseName } from '../transfer/targets.js'
import type { Command } from './command.js'

/** Prints pages of names; `end` comes after the last one. */
interface Printer {
  page(entries: readonly ListedName[]): void
  end(): void
}

export const list: Command = {
  name: 'list',
  operands: '[FOLDER]',
  operandsMin: 0,
  operandsMax: 1,
  summary: 'show the names in a folder',
  details: [
    '" [incomplete]" after a name means that the servers that are up do not have all pieces of the file, or that',
    'a piece is lost for good.',
  ].join(' '),
  options: [
    ['-l, --long', 'also show mode, links, owner, group, size and time'],
    ['--json', 'print a JSON array of objects'],
  ],
  completes: ['remote'],

  async run(session, [folder = '/'], options) {
    const print = options.json ? jsonPrinter : options.long ? longPrinter : plainPrinter
    const printer = await print(session)
    return forEach(session, [folder], async () => {
      const node = await followPath(session.client.namespace, folder)
      for await (const page of listingOf(session, folder, node)) printer.page(page)
      printer.end()
    })
  },
}

/** Lists a folder's names, or a file as itself, as ls does. A folder's listing marks incomplete files. */
async function* listingOf(
  session: Session,
  path: string,
  node: Node,
): AsyncGenerator<readonly ListedName[]> {
  if (isFolder(node)) return yield* pagesOf(session, node.ino)
  const incomplete = !(await session.client.content.isWhole(node.inode))
  const { ino } = node
  yield [{ name: baseName(path), ino, type: direntType(node.inode.mode), node, incomplete }]
}

const mark = (entry: ListedName): string => (entry.incomplete ? ' [incomplete]' : '')

function plainPrinter({ output }: Session): Printer {
  return {
    page(entries) {
      for (const entry of entries) output.print(output.name(entry.name) + mark(entry))
    },
    end() {
      // Every line has been printed already.
    },
  }
}

async function longPrinter({ output, client }: Session): Promise<Printer> {
  const accounts = await AccountNames.read()
  const nowMs = client.cluster.clock.now()
  return {
    page(entries) {
      const rows = entries.map((entry) => {
        const name = output.name(entry.name) + mark(entry)
        if (entry.node === undefined) return ['?'.repeat(10), '?', '?', '?', '?', '?', name]
        const { inode } = entry.node
        const target = inode.target === '' ? '' : ` -> ${output.name(inode.target)}`
        return [
          modeText(inode.mode),
          String(linksOf(entry.node)),
          accounts.user(inode.uid),
          accounts.group(inode.gid),
          String(inode.size),
          listTime(inode.mtime, nowMs),
          name + target,
        ]
      })
      const lines = alignColumns(rows, ['left', 'right', 'left', 'left', 'right', 'left', 'left'])
      for (const line of lines) output.print(line)
    },
    end() {
      // Every line has been printed already.
    },
  }
}

/** Prints one JSON object a line, so that a long list can be read as it comes. */
function jsonPrinter({ output }: Session): Printer {
  let held: string | undefined
  return {
    page(entries) {
      for (const entry of entries) {
        output.print(held === undefined ? '[' : `  ${held},`)
        held = JSON.stringify(describe(entry))
      }
    },
    end() {
      if (held === undefined) output.print('[]')
      else output.print(`  ${held}\n]`)
    },
  }
}

function describe({ name, ino, type, node, incomplete }: ListedName): object {
  const common = { ...nameField('name', name), type: typeWord(type << 12), ino, incomplete }
  if (node === undefined) return common
  const { inode } = node
  return {
    ...common,
    mode: (inode.mode & 0o7777).toString(8).padStart(4, '0'),
    links: linksOf(node),
    uid: inode.uid,
    gid: inode.gid,
    size: inode.size,
    mtime: isoTime(inode.mtime),
    ...(inode.target === '' ? {} : nameField('target', inode.target)),
  }
}

/** st_nlink of a node: a folder is named by its entry, its own `.`, and each subfolder's `..`. */
function linksOf(node: Node): number {
  return isFolder(node) ? 2 + (node.folder?.subfolders ?? 0) : node.inode.nlink
}
