/** The words behind -o, as mount(8) has them. */
import { DfsError } from '../errors.js'

export interface MountWords {
  readonly readOnly: boolean
  readonly allowOther: boolean
  /** Access control lists. */
  readonly acl: boolean
  /** Changes of names and attributes are on the servers when they are answered. */
  readonly dirSync: boolean
  readonly fsname: string | undefined
  /** Device nodes and set-user-ID bits work; undefined: as mount(8) does it for who mounts. */
  readonly dev: boolean | undefined
  readonly suid: boolean | undefined
}

interface Chosen {
  readOnly: boolean
  allowOther: boolean
  acl: boolean
  dirSync: boolean
  fsname: string | undefined
  dev: boolean | undefined
  suid: boolean | undefined
}

/** What each word does. Permissions are always checked by the kernel, and atimes never kept. */
const words: Readonly<Record<string, (chosen: Chosen, value: string) => void>> = {
  ro: (chosen) => {
    chosen.readOnly = true
  },
  rw: (chosen) => {
    chosen.readOnly = false
  },
  allow_other: (chosen) => {
    chosen.allowOther = true
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
  default_permissions: () => undefined,
  noatime: () => undefined,
  fsname: (chosen, value) => {
    if (!/^[^\0,\\\r\n]+$/.test(value)) throw complaint('fsname needs a value: fsname=NAME')
    chosen.fsname = value
  },
}

/** Reads "ro,fsname=x". Throws `configuration` for a word that is not known. */
export function parseMountOptions(texts: readonly string[]): MountWords {
  const chosen: Chosen = {
    readOnly: false,
    allowOther: false,
    acl: false,
    dirSync: false,
    fsname: undefined,
    dev: undefined,
    suid: undefined,
  }
  for (const text of texts.flatMap((list) => list.split(','))) {
    if (text === '') continue
    const [word = '', value] = text.split(/=(.*)/s)
    const choose = Object.hasOwn(words, word) ? words[word] : undefined
    if (choose === undefined) {
      throw complaint(`-o ${word}: not known; there is ${Object.keys(words).join(', ')}`)
    }
    if (value !== undefined && word !== 'fsname') throw complaint(`-o ${word} takes no value`)
    choose(chosen, value ?? '')
  }
  return chosen
}

function complaint(message: string): DfsError {
  return new DfsError('configuration', message)
}
