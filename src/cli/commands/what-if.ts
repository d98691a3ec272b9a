/** WHAT-IF: tells before a server is stopped which files could not be read in full without it. */
import type { ClientConfig } from '../../config.js'
import {
  type IncompleteFile,
  incompleteWithout,
  type Left,
  leftWithout,
} from '../../dfc/repair/what-if.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { quorum } from '../../wire/quorum.js'
import { serverNamed } from '../named-server.js'
import type { Session } from '../session.js'
import { countText, nameField } from '../terminal/format.js'
import type { Output } from '../terminal/output.js'
import { StatusLine } from '../terminal/status-line.js'
import type { Command, Options } from './command.js'

/** Names that are shown without --all. */
const namesShownMax = 20

/** Exit statuses. */
const complete = 0
const incomplete = 1

interface Counts {
  looked: number
  /** Names of files that would be incomplete, and of those the ones that are so now. */
  incomplete: number
  incompleteNow: number
}

interface Question {
  readonly config: ClientConfig
  /** Positions of the servers that are asked about. */
  readonly down: readonly number[]
  readonly left: Left
}

/** Shows the names as they are found, and at the end what they come to. */
interface Printer {
  file(file: IncompleteFile): void
  end(question: Question, counts: Counts, hidden: number): void
}

export const whatIf: Command = {
  name: 'what-if',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'show which files would be incomplete if servers were down',
  details: [
    'Asks the servers what they hold, and stops nothing. Servers that are already down count as down. Ignores the',
    'trash. Exits with 0 when every file could still be read in full, with 1 when one could not.',
  ].join(' '),
  options: [
    ['--down <servers>', 'one to three servers, such as DFS2 or DFS2,DFS3'],
    ['--all', `show every name, not only the first ${namesShownMax}`],
    ['--json', 'print a JSON object'],
  ],
  completes: [],

  async run(session, _, options) {
    const { client, output } = session
    const { config } = client.cluster
    const down = serversIn(config, options.down)
    const printer = options.json ? jsonPrinter(output) : linePrinter(output)
    const shownMax = options.all === true ? Infinity : namesShownMax
    const counts = await findAll(session, down, shownMax, printer)
    const question = { config, down, left: await leftWithout(client.cluster, down) }
    printer.end(question, counts, Math.max(0, counts.incomplete - shownMax))
    return counts.incomplete === 0 ? complete : incomplete
  },
}

/** Parses the servers of --down to their positions. Throws `invalid`. */
function serversIn(config: ClientConfig, words: Options[string]): readonly number[] {
  const names = typeof words === 'string' ? words.split(',').map((word) => word.trim()) : []
  if (names.length === 0) {
    throw new DfsError('invalid', 'name the servers that would be down, such as --down DFS2,DFS3')
  }
  const servers = [...new Set(names.map((name) => serverNamed(config, name).index))].sort()
  if (servers.length < limits.serverCount) return servers
  throw new DfsError('invalid', 'without any server nothing can be read: name at most three')
}

async function findAll(
  { client, output, interrupted }: Session,
  down: readonly number[],
  shownMax: number,
  printer: Printer,
): Promise<Counts> {
  const counts: Counts = { looked: 0, incomplete: 0, incompleteNow: 0 }
  const line = new StatusLine(output)
  const looked = (names: number): void => {
    interrupted.throwIfAborted()
    counts.looked = names
    line.show(`${names} files looked at, ${counts.incomplete} would be incomplete`)
  }
  try {
    for await (const file of incompleteWithout(client, down, looked)) {
      counts.incomplete += 1
      if (file.isIncompleteNow) counts.incompleteNow += 1
      if (counts.incomplete <= shownMax) printer.file(file)
    }
  } finally {
    line.stop()
  }
  return counts
}

function linePrinter(output: Output): Printer {
  return {
    file({ path, isIncompleteNow }) {
      output.print(`${output.name(path)}${isIncompleteNow ? ' [incomplete] already' : ''}`)
    },
    end(question, counts, hidden) {
      if (hidden > 0) output.print(`... and ${hidden} more: --all shows every name`)
      for (const sentence of sentencesOf(question, counts)) output.print(sentence)
    },
  }
}

/** Prints the names one a line, so that a long list can be read as it comes. */
function jsonPrinter(output: Output): Printer {
  let held: string | undefined
  const begin = '{\n  "files": ['
  return {
    file({ path, ino, isIncompleteNow }) {
      output.print(held === undefined ? begin : `    ${held},`)
      held = JSON.stringify({ ...nameField('path', path), ino, incompleteNow: isIncompleteNow })
    },
    end(question, counts, hidden) {
      output.print(held === undefined ? `${begin}],` : `    ${held}\n  ],`)
      const rest = JSON.stringify(described(question, counts, hidden), undefined, 2)
      output.print(rest.slice(rest.indexOf('\n') + 1))
    },
  }
}

function described({ config, down, left }: Question, counts: Counts, hidden: number): object {
  const names = (servers: readonly number[]) => servers.map((at) => config.servers[at]?.name ?? '')
  return {
    more: hidden,
    looked: counts.looked,
    incomplete: counts.incomplete,
    incompleteNow: counts.incompleteNow,
    down: names(down),
    left: names(left.up),
    voters: names(left.voters),
    fullDisks: names(left.full),
    canChange: left.canChange,
  }
}

function sentencesOf({ config, down, left }: Question, counts: Counts): readonly string[] {
  const nameOf = (at: number): string => config.servers[at]?.name ?? ''
  const without = down.map(nameOf).join(', ')
  const away = config.servers.flatMap(({ name }, at) =>
    down.includes(at) || left.up.includes(at) ? [] : [name],
  )
  const others = away.length === 0 ? '' : ` (${away.join(', ')} is down already)`
  return [
    counts.incomplete === 0
      ? `Without ${without}${others} ${counts.looked === 1 ? 'the only file' : `all ${counts.looked} files`} could be read in full.`
      : `Without ${without}${others} ${counts.incomplete} of ${countText(counts.looked, 'file')} would be incomplete${nowText(counts)}.`,
    left.canChange
      ? 'Files and names could be changed as now.'
      : `Nothing could be changed: ${quorum.commit} servers must agree, and ${leftText(left, nameOf)}.`,
  ]
}

function leftText({ voters, full }: Left, nameOf: (at: number) => string): string {
  const isEnough = voters.length >= quorum.commit
  return isEnough
    ? `${full.map(nameOf).join(', ')} has no space left`
    : `${voters.length} would be left`
}

function nowText({ incomplete, incompleteNow }: Counts): string {
  if (incompleteNow === 0) return ''
  if (incompleteNow === incomplete) return ', as they are now'
  return `, ${incompleteNow} of them are so now`
}
