/** The owner of files that this process stores. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** The user that runs this process. */
export function ownIdentity(): Owner {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
}

/** The owner of a copy: the superuser keeps owners, other users own what they copy, as with cp -a. */
export function ownerOfCopy(original: Owner): Owner {
  const own = ownIdentity()
  return own.uid === 0 ? { uid: original.uid, gid: original.gid } : own
}
