/** The owner of files that this process stores. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** The user that runs this process. */
export function ownIdentity(): Owner {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
}

/** Whether copies keep their owners. Those of the superuser do; other users own what they copy, as with cp -a. */
export function keepsOwners(): boolean {
  return ownIdentity().uid === 0
}

/** The owner of a new copy. */
export function ownerOfCopy({ uid, gid }: Owner): Owner {
  return keepsOwners() ? { uid, gid } : ownIdentity()
}

/** Whether a copy that is there has the owner that it should have. */
export function isOwnerRight(copy: Owner, original: Owner): boolean {
  return !keepsOwners() || (copy.uid === original.uid && copy.gid === original.gid)
}
