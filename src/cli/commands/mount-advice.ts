/** How to mount the files of a configuration when a machine starts: by systemd, and by fstab(5). */
import { join } from 'node:path'
import { clientFileName, systemConfigHome } from '../../config-home.js'

/** Lines for a person who has just made `file`. Both paths are absolute. */
export function mountAdvice(file: string, mountpoint: string): readonly string[] {
  const unit = `dfs-mount@${escapedPath(mountpoint)}.service`
  const isOfMachine = file === join(systemConfigHome, clientFileName)
  const line = `${fstabWord(file)} ${fstabWord(mountpoint)} fuse.dfs _netdev,nofail,allow_other,wait=60s 0 0`
  return [
    `To mount the files on ${mountpoint} when the machine starts, add this line to /etc/fstab:`,
    `  ${line}`,
    ...(isOfMachine
      ? [
          `or let systemd do it and start it again when it ends:`,
          `  systemctl enable --now '${unit}'`,
        ]
      : []),
  ]
}

/** A path as systemd-escape --path writes it. */
export function escapedPath(path: string): string {
  const words = path.split('/').filter((word) => word !== '')
  if (words.length === 0) return '-'
  return Buffer.from(words.join('/'))
    .toString('latin1')
    .replace(/^\.|[^A-Za-z0-9:_./]/g, hexadecimal)
    .replaceAll('/', '-')
}

function hexadecimal(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
}

/** A word of a line of fstab(5), which has its spaces as octal numbers. */
function fstabWord(path: string): string {
  return path.replace(
    /[\s\\#]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  )
}
