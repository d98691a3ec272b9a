/** Man pages, made of the grammars of the programs and the table of mount options in the manual. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, Option } from 'commander'
import { version } from '../../src/version.js'
import { root } from './documents.js'
import { commandsOf, optionsOf, type Program, pathsOf, programs } from './programs.js'

/** The text of each page, by its path. */
export function manPages(): Readonly<Record<string, string>> {
  const pages = programs.map((program) => [`man/${program.name}.1`, pageOf(program)])
  return Object.fromEntries([...pages, ['man/mount.dfs.8', helperPage()]])
}

interface Handwritten {
  readonly purpose: string
  readonly synopsis: readonly string[]
  /** Sections behind the options, by their headings. */
  readonly sections: Readonly<Record<string, readonly Entry[]>>
}

type Entry = readonly [term: string, text: string]

const exitStatus: readonly Entry[] = [
  ['0', 'Done.'],
  ['1', 'Something failed, and was reported.'],
  ['2', 'The words were not understood.'],
]
const wrongConfiguration: Entry = [
  '78',
  'The configuration is wrong, such as a file, the password or the mountpoint: to try again would be in vain.',
]
const clientFiles: readonly Entry[] = [
  [
    '~/.config/dfs/dfc.conf, /etc/dfs/dfc.conf',
    'The configuration; the first that is there is read.',
  ],
  ['~/.local/share/dfs', 'The servers of dfs-mount --local, with their dfc.conf.'],
  ['~/.local/state/dfs', 'Logs and journals of mounts, keys of servers, interrupted uploads.'],
]
const clientEnvironment: readonly Entry[] = [
  ['DFC_CONFIG', 'The configuration, where --config names none.'],
  ['DFC_PASSWORD', 'The password; it wins over the one in the configuration.'],
  [
    'XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME',
    'What to use instead of ~/.config, ~/.local/share, ~/.local/state.',
  ],
]

const handwritten: Readonly<Record<string, Handwritten>> = {
  dfc: {
    purpose: 'client of the distributed file system dfs-pairs',
    synopsis: ['[--config FILE] [OPERATION ...]'],
    sections: {
      'EXIT STATUS': [
        ...exitStatus,
        ['130', 'Interrupted.'],
        ['', 'The operations status, what-if, why and verify give 1 and 2 meanings of their own.'],
      ],
      ENVIRONMENT: clientEnvironment,
      FILES: clientFiles,
    },
  },
  'dfs-mount': {
    purpose: 'mount dfs-pairs as a folder',
    synopsis: ['[options] MOUNTPOINT', '[options] CONFIG MOUNTPOINT', '--unmount MOUNTPOINT'],
    sections: {
      'EXIT STATUS': [...exitStatus, wrongConfiguration],
      ENVIRONMENT: clientEnvironment,
      FILES: clientFiles,
    },
  },
  'dfs-server': {
    purpose: 'one of the four servers of dfs-pairs',
    synopsis: ['[options] FOLDER PORT', 'COMMAND ...'],
    sections: {
      'EXIT STATUS': [
        ['0', 'Done, or ended by a signal in order.'],
        ...exitStatus.slice(1),
        wrongConfiguration,
      ],
      FILES: [
        ['FOLDER/dfs.conf, /etc/dfs/dfs.conf', 'Who may log in; the first that is there is read.'],
        ['FOLDER/key.pem', 'The key of the server.'],
      ],
    },
  },
}

function pageOf({ name, grammar }: Program): string {
  const { purpose, synopsis, sections } = handwritten[name] ?? missing(name)
  const commands = pathsOf(grammar).filter(
    ([path, command]) => path !== '' && commandsOf(command).length === 0,
  )
  const words = name === 'dfs-mount' ? [section('MOUNT OPTIONS', entries(mountWords()))] : []
  return page(name, 1, purpose, [
    section('SYNOPSIS', synopsis.map((line) => `.B ${roff(name)}\n${roff(line)}\n.br`).join('\n')),
    section('DESCRIPTION', roff(grammar.description())),
    section('OPTIONS', entries(optionsOf(grammar).map(entryOf))),
    ...(commands.length === 0 ? [] : [section('COMMANDS', commands.map(commandText).join('\n'))]),
    ...words,
    ...Object.entries(sections).map(([title, rows]) => section(title, entries(rows))),
  ])
}

function helperPage(): string {
  return page('mount.dfs', 8, 'helper of mount(8) for dfs-pairs', [
    section('SYNOPSIS', `.B mount -t dfs\n${roff('[-o WORDS] CONFIG MOUNTPOINT')}`),
    section(
      'DESCRIPTION',
      [
        roff(
          'mount(8) runs this program for the type dfs when it is /sbin/mount.dfs, and as /sbin/mount.fuse.dfs for the type fuse.dfs. CONFIG is the configuration of a client, such as /etc/dfs/dfc.conf. In /etc/fstab:',
        ),
        '.PP\n.EX',
        roff('/etc/dfs/dfc.conf /mnt/files dfs noauto,user,_netdev 0 0'),
        '.EE',
      ].join('\n'),
    ),
    section('MOUNT OPTIONS', entries(mountWords())),
    section(
      'EXIT STATUS',
      entries([
        ['0', 'Mounted.'],
        ['1', 'The words were not understood.'],
        ['32', 'The mount failed.'],
      ]),
    ),
  ])
}

function page(name: string, number: number, purpose: string, sections: readonly string[]): string {
  const others = [
    ...programs.map((program) => [program.name, 1] as const),
    ['mount.dfs', 8] as const,
  ].filter(([other]) => other !== name)
  return [
    '.\\" Made by "npm run docs" from the grammar of the program.',
    `.TH ${name.toUpperCase()} ${number} "" "dfs\\-pairs ${version}" "dfs\\-pairs"`,
    section('NAME', `${roff(name)} \\- ${roff(purpose)}`),
    ...sections,
    section(
      'SEE ALSO',
      others.map(([other, section]) => `.BR ${roff(other)} (${section})`).join(',\n'),
    ),
    '',
  ].join('\n')
}

const section = (title: string, text: string): string => `.SH ${title}\n${text}`

function commandText([path, command]: readonly [string, Command]): string {
  const [summary = '', ...details] = command.description().split('\n\n')
  const shown = details.map((text) => `.PP\n.EX\n${roff(text)}\n.EE`)
  const options = optionsOf(command).filter(({ long }) => long !== '--help')
  const usage = `${path} ${command.usage()}`.trim()
  return [
    `.SS ${roff(usage)}`,
    roff(summary),
    ...shown,
    ...(options.length === 0 ? [] : [entries(options.map(entryOf))]),
  ].join('\n')
}

function entryOf(option: Option): Entry {
  const { flags, description, defaultValue } = option
  const standard = defaultValue === undefined ? '' : `; ${defaultValue} when left out`
  return [flags, `${description}${standard}`]
}

function entries(rows: readonly Entry[]): string {
  return rows
    .map(([term, text]) =>
      term === '' ? `.PP\n${roff(text)}` : `.TP\n.B ${roff(term)}\n${roff(text)}`,
    )
    .join('\n')
}

/** The words behind -o, from the manual: a test compares that table with the program. */
function mountWords(): readonly Entry[] {
  const manual = readFileSync(join(root, 'docs/manual.md'), 'utf8')
  return [...manual.matchAll(/^\| (`-o .*?) \| (.*) \|$/gm)].map(([, term = '', text = '']) => [
    plain(term),
    plain(text),
  ])
}

/** Text without the signs of Markdown. */
function plain(text: string): string {
  return text.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '')
}

/** Text as roff takes it: no character of it is a request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1')
}

function missing(name: string): never {
  throw new Error(`${name} has no text for its man page`)
}
