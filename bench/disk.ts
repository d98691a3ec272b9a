/** Chooses the disk for the data of our servers, so that the comparison is fair. */
import { readFile, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'

/** File systems that keep their data elsewhere. */
const remote = /^(fuse\.|fuse$|nfs|cifs|smb|ceph|9p|lustre|glusterfs|afs)/

/**
 * Returns the folder beside which our data goes: `against` itself when it is on a local disk, otherwise the folder that
 * holds its mountpoint. Without `against` it is the folder for temporary files.
 */
export async function folderBeside(against: string | undefined): Promise<string> {
  if (against === undefined) return tmpdir()
  const path = await realpath(against)
  const mounts = mountsIn(await readFile('/proc/self/mounts', 'utf8'))
  const mount = mounts
    .filter(({ mountpoint }) => path === mountpoint || path.startsWith(`${mountpoint}/`))
    .at(-1)
  return mount !== undefined && remote.test(mount.type) ? dirname(mount.mountpoint) : path
}

/** Parses `mounts` of proc(5), in which spaces are written in octal. */
function mountsIn(text: string): { readonly mountpoint: string; readonly type: string }[] {
  return text.split('\n').flatMap((line) => {
    const [, mountpoint, type] = line.split(' ')
    if (mountpoint === undefined || type === undefined) return []
    const plain = mountpoint.replace(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    return [{ mountpoint: plain, type }]
  })
}
