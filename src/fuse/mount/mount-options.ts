/** The words behind -o, with the meaning of mount(8), fstab(5) and systemd.mount(5). */
import { parseWait } from '../../duration.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

export interface MountWords {
  /** Undefined when no word asks for it: a remount then leaves it unchanged. The other fields behave alike. */
  readonly readOnly: boolean | undefined
  readonly allowOther: boolean
  /** The kernel checks permissions in every case (see root-alone.ts). */
  readonly defaultPermissions: boolean
  /** Whether POSIX ACLs are stored and enforced. */
  readonly acl: boolean
  /** Changes of names and attributes are on the servers before they are answered. */
  readonly dirSync: boolean
  /** Changes and writes are on the disks of three servers before they are answered. Includes `dirSync`. */
  readonly sync: boolean | undefined
  /** Reading does not change atimes. */
  readonly noAtime: boolean | undefined
  readonly fsname: string | undefined
  /** Whether programs, device nodes and set-user-ID bits work. Undefined: in a new mount, programs alone. */
  readonly exec: boolean | undefined
  readonly dev: boolean | undefined
  readonly suid: boolean | undefined
  /** The mountpoint may contain files, which the mount hides. */
  readonly nonEmpty: boolean
  /** Time in ms to wait for servers that are not up yet. */
  readonly waitMs: number
  /** Changes an existing mount instead of making one. */
  readonly remount: boolean
  /** All flags of the mount are given, as mount(8) does when it remounts one that it knows. */
  readonly isComplete: boolean
}

type Chosen = { -readonly [Word in keyof MountWords]: MountWords[Word] }
type Choose = (chosen: Chosen, value: string) => void

/** The effect of each word. */
const words: Readonly<Record<string, Choose>> = {
  ro: (chosen) => {
    chosen.readOnly = true
  },
  rw: (chosen) => {
    chosen.readOnly = false
  },
  allow_other: (chosen) => {
    chosen.allowOther = true
  },
  default_permissions: (chosen) => {
    chosen.defaultPermissions = true
  },
  acl: (chosen) => {
    chosen.acl = true
  },
  noacl: (chosen) => {
    chosen.acl = false
  },
  dirsync: (chosen) => {
    chosen.dirSync = true
  },
  sync: (chosen) => {
    chosen.sync = true
  },
  async: (chosen) => {
    chosen.sync = false
  },
  noatime: (chosen) => {
    chosen.noAtime = true
  },
  atime: (chosen) => {
    chosen.noAtime = false
  },
  relatime: (chosen) => {
    chosen.noAtime = false
  },
  exec: (chosen) => {
    chosen.exec = true
  },
  noexec: (chosen) => {
    chosen.exec = false
  },
  dev: (chosen) => {
    chosen.dev = true
  },
  nodev: (chosen) => {
    chosen.dev = false
  },
  suid: (chosen) => {
    chosen.suid = true
  },
  nosuid: (chosen) => {
    chosen.suid = false
  },
  nonempty: (chosen) => {
    chosen.nonEmpty = true
  },
  remount: (chosen) => {
    chosen.remount = true
  },
  wait: (chosen, value) => {
    chosen.waitMs = mountWaitMs(value)
  },
  fsname: (chosen, value) => {
    if (!isFsname(value)) throw complaint('fsname needs a value: fsname=NAME')
    chosen.fsname = value
  },
}

const asRoot: Choose = (chosen) => {
  chosen.dev = false
  chosen.suid = false
}
const asAnybody: Choose = (chosen) => {
  asRoot(chosen, '')
  chosen.exec = false
}

/** Words that let users other than root mount, for mount(8). A later word undoes what they imply. */
const mounters: Readonly<Record<string, Choose>> = {
  user: asAnybody,
  users: asAnybody,
  owner: asRoot,
  group: asRoot,
}

/**
 * Words that are accepted without effect: those of mount(8) and systemd that hold anyway, and those shown in
 * /proc/mounts, which mount(8) passes on when it remounts.
 */
const ignored: ReadonlySet<string> = new Set(
  `defaults auto noauto nofail _netdev nouser nousers noowner nogroup silent loud
  mand nomand iversion noiversion symfollow
  diratime nodiratime norelatime strictatime nostrictatime
  lazytime nolazytime nodiscard comment user_id group_id max_read`.split(/\s+/),
)
/** A word that only the kernel's table of mounts contains: no user types it. */
const shownByKernel = 'user_id'
const valued: ReadonlySet<string> = new Set(
  'fsname wait user comment user_id group_id max_read'.split(' '),
)

/** Parses words such as "ro,fsname=x". Throws `configuration` for an unknown one, unless `isSloppy`. */
export function parseMountOptions(texts: readonly string[], isSloppy = false): MountWords {
  const chosen: Chosen = {
    readOnly: undefined,
    allowOther: false,
    defaultPermissions: false,
    acl: false,
    dirSync: false,
    sync: undefined,
    noAtime: undefined,
    fsname: undefined,
    exec: undefined,
    dev: undefined,
    suid: undefined,
    nonEmpty: false,
    waitMs: 0,
    remount: false,
    isComplete: false,
  }
  for (const text of texts.flatMap(splitWords)) {
    const [word = '', value] = text.split(/=(.*)/s)
    if (word === '' || /^x-/i.test(word)) continue
    const choose = actionOf(word)
    if (choose === undefined) {
      if (isSloppy) continue
      throw complaint(`-o ${word}: unknown word, expected one of ${Object.keys(words).join(', ')}`)
    }
    if (value !== undefined && !valued.has(word)) throw complaint(`-o ${word} takes no value`)
    if (word === shownByKernel) chosen.isComplete = true
    choose(chosen, value ?? '')
  }
  return chosen
}

/** Parses the time of -o wait=TIME to ms. Throws `configuration`. */
function mountWaitMs(text: string): number {
  const ms = parseWait(text)
  if (ms !== undefined && ms <= limits.mountWaitMsMax) return ms
  throw complaint(`-o wait=${text}: expected a time such as wait=60s, 5m or 1h, at most 24h`)
}

function actionOf(word: string): Choose | undefined {
  for (const table of [words, mounters]) if (Object.hasOwn(table, word)) return table[word]
  return ignored.has(word) ? () => undefined : undefined
}

/** Splits at commas. A value in double quotes may contain commas, as for mount(8): x-label="a,b". */
function splitWords(list: string): readonly string[] {
  return list.match(/(?:"[^"]*"|[^,])+/g) ?? []
}

/**
 * The words of a list as mount.fuse(8) hands it on, without the `dev` and `suid` that it adds to every mount which does
 * not say otherwise. A user who typed `mount -t fuse` did not ask for them: mount(8) keeps those two to itself. Its lists
 * begin with rw or ro; others are returned as they are.
 *
 *     rw,noatime,dev,suid   rw,noatime
 *     ro,nosuid,dev         ro,nosuid
 */
export function withoutWordsOfHelper(list: string): string {
  return list.replace(/^(r[wo](?:,.*?)??)(?:,dev)?(?:,suid)?$/s, '$1')
}

/** Whether the kernel's table of mounts can show `text` as a source. */
export function isFsname(text: string): boolean {
  return /^[^\0,\\\r\n]+$/.test(text)
}

function complaint(message: string): DfsError {
  return new DfsError('configuration', message)
}
