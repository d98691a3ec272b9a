/**
 * The rooms of the source: what each folder knows, what it may import, and what must not be put there.
 * `npm run docs` writes this table into docs/ARCHITECTURE.md, and into biome.layers.json, by which
 * `npm run check` holds it.
 */

export interface Room {
  /** One line: what the files of this folder know and do. */
  readonly knows: string
  /**
   * Folders (`.../**`: with all below them) and single files that its files may import, beside one another
   * and, unless `isApart`, the files of `src` itself.
   */
  readonly imports: readonly string[]
  /** What does not belong there although it may seem so, and where it goes. */
  readonly never: string
  /** Knows nothing of this file system. */
  readonly isApart?: true
}

const shared = ['src/async', 'src/memory', 'src/wire']

export const rooms: Readonly<Record<string, Room>> = {
  src: {
    knows: 'what all programs share: errors, limits, configuration, clock, network, log',
    imports: [],
    never: 'anything that only one room needs',
  },
  'src/async': {
    knows: 'waiting: semaphores, pools of tasks, results in order, one run for all who ask',
    imports: [],
    never: 'what is waited for',
  },
  'src/memory': {
    knows: 'buffers that are shared, lent and used again',
    imports: [],
    never: 'what is in them',
  },
  'src/wire': {
    knows:
      'messages, frames, records, versions, placement, majorities: what client and server agree on',
    imports: [],
    never: 'sockets, disks, policies of one side',
  },
  'src/dfc': {
    knows: '`Client`: puts the rooms below it together; the only place where they are made',
    imports: [...shared, 'src/dfc/**'],
    never: 'work of its own',
  },
  'src/dfc/cluster': {
    knows: 'connections to the four servers: who is up, slow, or has a wrong clock',
    imports: shared,
    never: 'what the requests mean',
  },
  'src/dfc/content': {
    knows: 'bytes of files: extents, segments and pieces, read, written and cached',
    imports: [...shared, 'src/dfc/cluster'],
    never: 'names, and who owns the bytes',
  },
  'src/dfc/quorum': {
    knows: 'registers and transactions: votes, decisions, recovery, leases',
    imports: ['src/async', 'src/wire', 'src/dfc/cluster', 'src/dfc/content'],
    never: 'what the registers hold',
  },
  'src/dfc/namespace/cache': {
    knows: 'what this client has seen of names and inodes, and for how long that holds',
    imports: ['src/wire', 'src/dfc/quorum'],
    never: 'requests',
  },
  'src/dfc/namespace': {
    knows: 'files and folders by name: look-ups, listings, and every change as one transaction',
    imports: [
      'src/async',
      'src/wire',
      'src/dfc/cluster',
      'src/dfc/content',
      'src/dfc/quorum',
      'src/dfc/namespace/cache',
      'src/dfc/namespace/plans',
    ],
    never: 'the kernel and the terminal',
  },
  'src/dfc/namespace/plans': {
    knows: 'one kind of change a file: from what is looked up to a transaction',
    imports: ['src/wire', 'src/dfc/content', 'src/dfc/namespace', 'src/dfc/namespace/cache'],
    never: 'commits, locks and second attempts',
  },
  'src/dfc/repair': {
    knows: 'bringing the servers back to agreement, one phase a file, run by `heal.ts`',
    imports: [
      'src/async',
      'src/wire',
      'src/dfc/cluster',
      'src/dfc/content',
      'src/dfc/quorum',
      'src/dfc/namespace',
    ],
    never: 'what users ask for',
  },
  'src/dfs': {
    knows: 'the program dfs-server: its arguments, its sockets, its end',
    imports: ['src/wire', 'src/dfs/**'],
    never: 'requests and data',
  },
  'src/dfs/disk': {
    knows: 'what a disk does to us: syncs, locks, durable files, errors',
    imports: ['src/async'],
    never: 'what the files hold',
  },
  'src/dfs/users': {
    knows: 'who may log in, and the commands that change that',
    imports: ['src/wire', 'src/dfs/disk'],
    never: 'what users store',
  },
  'src/dfs/pieces': {
    knows: 'the bytes of pieces: a folder of files, or memory',
    imports: ['src/async', 'src/memory', 'src/dfs/disk'],
    never: 'which pieces there should be',
  },
  'src/dfs/index': {
    knows: 'the SQLite index of an account: every table and column, checksums of rows',
    imports: ['src/wire', 'src/dfs/disk'],
    never: 'rules of the quorum',
  },
  'src/dfs/quorum': {
    knows:
      "a server's side of the quorum: votes, locks, in-doubt transactions, fence, floor, repair",
    imports: ['src/wire', 'src/dfs/disk', 'src/dfs/index'],
    never: 'connections',
  },
  'src/dfs/account': {
    knows: 'the folder of one user: its index, pieces, lease and garbage together',
    imports: [
      'src/memory',
      'src/wire',
      'src/dfs/disk',
      'src/dfs/index',
      'src/dfs/pieces',
      'src/dfs/quorum',
    ],
    never: 'frames and logins',
  },
  'src/dfs/session': {
    knows: 'one connection: login, frames, the table of handlers, refusals',
    imports: [
      'src/memory',
      'src/wire',
      'src/dfs/disk',
      'src/dfs/pieces',
      'src/dfs/users',
      'src/dfs/account',
    ],
    never: 'what a handler does',
  },
  'src/fuse': {
    knows: 'the program dfs-mount: its arguments',
    imports: ['src/fuse/daemon', 'src/fuse/local', 'src/fuse/mount'],
    never: 'everything else',
  },
  'src/fuse/daemon': {
    knows: 'the process behind a mount: start, control socket, state folder, orderly end',
    imports: ['src/memory', 'src/wire', 'src/dfc/**', 'src/fuse/mount', 'src/fuse/vfs'],
    never: 'answers to the kernel',
  },
  'src/fuse/local': {
    knows: '`--local`: four servers of its own on this machine',
    imports: [],
    never: 'the mount',
  },
  'src/fuse/mount': {
    knows:
      "the mountpoint and its options, and the table of FUSE operations: the kernel's numbers here, calls of the file system there",
    imports: ['src/wire', 'src/dfc/**', 'src/fuse/kernel', 'src/fuse/vfs'],
    never: 'what an operation means',
  },
  'src/fuse/vfs': {
    knows: 'POSIX: open files, attributes, permissions, what the kernel was told',
    imports: [...shared, 'src/dfc/**', 'src/fuse/draft', 'src/fuse/kernel'],
    never: 'fields of messages of the kernel',
  },
  'src/fuse/draft': {
    knows:
      'what was written and not stored: dirty ranges, memory, spill file, packing into segments',
    imports: [...shared, 'src/dfc/**'],
    never: 'names and attributes',
  },
  'src/fuse/kernel': {
    knows: "the kernel's protocol, for any file system: device, requests, answers (docs/fuse.md)",
    imports: ['src/byte-text.ts'],
    never: 'this file system',
    isApart: true,
  },
  'src/fuse/classic': {
    knows: 'the interface of the package fuse-native, on that of `src/fuse/kernel`',
    imports: ['src/fuse/kernel/index.ts'],
    never: 'this file system',
    isApart: true,
  },
  'src/cli': {
    knows: 'the program dfc: arguments, prompt, completion, and what its operations share',
    imports: ['src/wire', 'src/dfc/**', 'src/cli/**'],
    never: 'what an operation does',
  },
  'src/cli/commands': {
    knows: 'one operation a file, and the table of them',
    imports: [
      'src/wire',
      'src/dfc/**',
      'src/cli',
      'src/cli/local',
      'src/cli/paths',
      'src/cli/terminal',
      'src/cli/transfer',
    ],
    never: 'what two operations share',
  },
  'src/cli/transfer': {
    knows: 'many files to the servers and back, some at a time',
    imports: [
      'src/async',
      'src/wire',
      'src/dfc/**',
      'src/cli',
      'src/cli/local',
      'src/cli/paths',
      'src/cli/terminal',
    ],
    never: 'options and words',
  },
  'src/cli/paths': {
    knows: 'paths as users write them, and listing what they name',
    imports: ['src/wire', 'src/dfc/**', 'src/cli'],
    never: 'paths of this machine',
  },
  'src/cli/local': {
    knows: 'files of this machine: read, and replaced as a whole',
    imports: [],
    never: 'the servers',
  },
  'src/cli/terminal': {
    knows: 'what is typed and printed: columns, progress, history, quoting',
    imports: ['src/wire'],
    never: 'what is told',
  },
}

/** Packages, and the only files that may import them. */
const packages: Readonly<Record<string, readonly string[]>> = {
  koffi: [
    'src/fuse/kernel/system-calls.ts',
    'src/cli/local/system-calls.ts',
    'src/service-manager.ts',
  ],
  '@peculiar/x509': ['src/dfs/disk/server-key.ts'],
  'better-sqlite3': [
    'src/dfs/disk/folder-lock.ts',
    'src/dfs/index/database.ts',
    'src/dfs/index/schema.ts',
  ],
}

/** The text of biome.layers.json. */
export function biomeLayers(): string {
  const overrides = Object.keys(rooms).map((room) =>
    override([`${room}/*.ts`], room, Object.keys(packages)),
  )
  for (const file of new Set(Object.values(packages).flat())) {
    const room = file.slice(0, file.lastIndexOf('/'))
    const closed = Object.keys(packages).filter((name) => !packages[name]?.includes(file))
    overrides.push(override([file], room, closed))
  }
  return `${JSON.stringify({ overrides })}\n`
}

/** What Biome refuses in the files `includes` of `room`: other rooms, and the packages `closed`. */
function override(includes: readonly string[], room: string, closed: readonly string[]): object {
  const paths = Object.fromEntries(
    closed.map((name) => [name, `Only ${packages[name]?.join(', ')} may import it.`]),
  )
  const open = openTo(room).map((other) => `!${specifierOf(room, other)}`)
  const message = `${room} may import ${importsOf(room)}: see test/docs/rooms.ts.`
  const options = { paths, patterns: [{ group: ['../**', './*/**', ...open], message }] }
  const noRestrictedImports = { level: 'error', options }
  return { includes, linter: { rules: { style: { noRestrictedImports } } } }
}

/** What `room` may import, for people. */
export function importsOf(room: string): string {
  const { imports = [], isApart } = rooms[room] ?? {}
  return [
    ...(isApart || room === 'src' ? [] : ['`src/*.ts`']),
    ...imports.map((one) => `\`${one}\``),
  ].join(', ')
}

/** The rooms and single files that files of `room` may import. */
function openTo(room: string): readonly string[] {
  const { imports = [], isApart } = rooms[room] ?? {}
  if (isApart) return imports
  const isOpen = (other: string): boolean =>
    other === 'src' ||
    imports.some((open) =>
      open.endsWith('/**') ? `${other}/`.startsWith(open.slice(0, -2)) : open === other,
    )
  return Object.keys(rooms).filter(isOpen)
}

/** How a file of `room` writes the files of `other`, or `other` itself if that is a file. */
function specifierOf(room: string, other: string): string {
  const from = room.split('/')
  const to = other.endsWith('.ts') ? other.replace(/\.ts$/, '.js') : `${other}/*.js`
  const steps = to.split('/')
  let same = 0
  while (same < from.length && from[same] === steps[same]) same += 1
  return `${'../'.repeat(from.length - same) || './'}${steps.slice(same).join('/')}`
}
