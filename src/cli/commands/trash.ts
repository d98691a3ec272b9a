/** TRASH: lists, restores and removes for good what was removed or replaced and is kept for a while. */
import type { KeptFile } from '../../dfc/namespace/trash.js'
import { durationText } from '../../duration.js'
import { DfsError } from '../../errors.js'
import {
  absolute,
  everythingBy,
  isMeant,
  isWithin,
  kept,
  keptFiles,
  pathOfKept,
  shownAs,
} from '../paths/kept-files.js'
import { isFolder } from '../paths/remote-path.js'
import { forEach, type Session, type Status } from '../session.js'
import { nameField, sizeText, typeWord } from '../terminal/format.js'
import { parseMoment } from '../terminal/moment.js'
import type { Output } from '../terminal/output.js'
import type { Command, Options } from './command.js'
import { restore } from './trash-restore.js'

/** The columns of the list, whose lines are printed one by one. */
const idWidth = '2026-11-29T12:00:00.000Z-'.length + 10
const sizeWidth = '1023 KiB'.length

/** A part of the operation, with the options that it has. */
interface Part {
  readonly operandsMin: number
  readonly operandsMax: number
  readonly options: readonly string[]
  readonly run: (session: Session, operands: readonly string[], options: Options) => Promise<Status>
}

const parts: Readonly<Record<string, Part>> = {
  list: { operandsMin: 0, operandsMax: 1, options: ['all', 'json'], run: list },
  restore: {
    operandsMin: 1,
    operandsMax: Number.POSITIVE_INFINITY,
    options: ['to', 'force'],
    run: restore,
  },
  empty: {
    operandsMin: 0,
    operandsMax: Number.POSITIVE_INFINITY,
    options: ['older'],
    run: empty,
  },
}

export const trash: Command = {
  name: 'trash',
  operands: 'ACTION [NAME...]',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'list, restore or delete for good what was removed',
  details: [
    'ACTION is list, restore or empty. NAME is a path that was removed, or an ID from the list. list takes a',
    'folder. restore brings back the file that was last removed under a path, or a folder with everything that',
    'was removed in it. empty deletes everything that was ever removed under the names, or the whole trash.',
    '"dfs-server user trash" on the servers sets whether removed files are kept, and for how long.',
  ].join(' '),
  options: [
    ['-a, --all', 'also list versions of files'],
    ['--json', 'print the list as a JSON array'],
    ['--to <path>', 'restore it there: into an existing folder, or under a new name'],
    ['-f, --force', 'replace an existing file, which then goes to the trash'],
    ['--older <time>', 'with empty: only what was removed more than 7d ago, or before 2026-11-28'],
  ],
  completes: [],

  run(session, [name = '', ...operands], options) {
    // In capitals, as the operations of the prompt.
    const action = name.toLowerCase()
    const part = Object.hasOwn(parts, action) ? parts[action] : undefined
    if (part === undefined) {
      throw new DfsError('invalid', `trash ${name}: expected list, restore or empty`)
    }
    const { operandsMin, operandsMax } = part
    if (operands.length < operandsMin) throw new DfsError('invalid', `trash ${name}: name a file`)
    if (operands.length > operandsMax) {
      throw new DfsError('invalid', `trash ${name}: too many operands`)
    }
    for (const option of Object.keys(options)) {
      if (part.options.includes(option)) continue
      throw new DfsError('invalid', `trash ${name}: --${option} does not go with it`)
    }
    return part.run(session, operands, options)
  },
}

async function list(
  session: Session,
  [folder = '/']: readonly string[],
  options: Options,
): Promise<Status> {
  const { output, client } = session
  const below = absolute(folder)
  const print = options.json === true ? jsonPrinter(output) : linePrinter(output)
  let count = 0
  for await (const one of kept(session)) {
    const isListed = options.all === true || one.kind === 'removed'
    if (!isListed || !isWithin(pathOfKept(one), below)) continue
    count += 1
    print.file(one)
  }
  print.end()
  const { keptMs } = client.namespace.trash
  if (options.json === true) return 0
  if (keptMs === 0) {
    output.say('The trash is off: "dfs-server user trash NAME 7d" on each server turns it on')
  } else if (count === 0) {
    output.say(`The trash is empty. It keeps what is removed for ${durationText(keptMs)}`)
  }
  return 0
}

/** Prints what is kept as it is found: all of it may be more than memory should hold. */
interface Printer {
  file(kept: KeptFile): void
  end(): void
}

function linePrinter(output: Output): Printer {
  return {
    file(kept) {
      const id = output.name(kept.id).padEnd(idWidth)
      const size = isFolder(kept.node) ? '' : sizeText(kept.node.inode.size)
      const remark = kept.incomplete ? ' [incomplete]' : ''
      output.print(`${id} ${size.padStart(sizeWidth)} ${output.name(shownAs(kept))}${remark}`)
    },
    end: () => undefined,
  }
}

function jsonPrinter(output: Output): Printer {
  let held: string | undefined
  return {
    file(kept) {
      output.print(held === undefined ? '[' : `  ${held},`)
      held = JSON.stringify(described(kept))
    },
    end() {
      output.print(held === undefined ? '[]' : `  ${held}\n]`)
    },
  }
}

function described(kept: KeptFile): object {
  const { id, kind, sinceMs, ino, incomplete, node } = kept
  const path = pathOfKept(kept)
  return {
    id,
    ...(path === undefined ? { path: null } : nameField('path', path)),
    ...nameField('name', kept.name),
    how: kind,
    since: new Date(sinceMs).toISOString(),
    type: typeWord(node.inode.mode),
    size: node.inode.size,
    ino,
    incomplete,
  }
}

async function empty(
  session: Session,
  names: readonly string[],
  options: Options,
): Promise<Status> {
  const { client, output } = session
  const nowMs = client.cluster.clock.now()
  const beforeMs =
    options.older === undefined
      ? Number.POSITIVE_INFINITY
      : parseMoment(String(options.older), nowMs, '--older')
  const ids: string[] = []
  const add = ({ id, sinceMs }: KeptFile): unknown => sinceMs < beforeMs && ids.push(id)
  let status: Status = 0
  if (names.length === 0) for await (const one of kept(session)) add(one)
  else {
    const all = await keptFiles(
      session,
      (one) => one.kind === 'replaced' || names.some((name) => isMeant(one, name)),
    )
    status = await forEach(session, names, async (name) => everythingBy(all, name).forEach(add))
  }
  const count = await client.namespace.trash.remove([...new Set(ids)])
  const room =
    count === 0 ? '' : '; a repair frees their space within minutes, or "dfc heal" at once'
  output.print(`Deleted ${count} removed files, folders and versions for good${room}`)
  return status
}
