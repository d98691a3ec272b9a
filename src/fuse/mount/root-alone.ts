/**
 * A mount of root without `allow_other`: the kernel lets in only processes whose real, effective and saved user and group
 * ids are those of the mount's own process. Root may do everything, so the kernel need not check permissions. When it does, it
 * asks for the attributes of a folder again after each change of a name in it: half of all requests of `rm -r`.
 *
 * A file server that acts for other users, such as knfsd, has another user id for access to files (setfsuid(2)). It is
 * refused, since nothing would check what that user may do.
 */
import { constants } from 'node:fs'
import { DfsError } from '../../errors.js'
import { fileType, typeOf } from '../../wire/records.js'
import * as answers from '../kernel/answers.js'
import type { OperationName } from '../kernel/protocol.js'
import type { Operation, Operations } from '../kernel/session.js'
import type { Metadata } from '../vfs/metadata.js'
import type { MountWords } from './mount-options.js'

/** The operations for which a local file system checks permissions: all but those on open files. */
const checked: readonly OperationName[] = [
  ...(['lookup', 'access', 'open', 'opendir', 'create', 'tmpfile', 'readlink'] as const),
  ...(['mknod', 'mkdir', 'symlink', 'link', 'unlink', 'rmdir', 'rename', 'rename2'] as const),
  ...(['setattr', 'getxattr', 'listxattr', 'setxattr', 'removexattr'] as const),
]
const executableByAny = 0o111

/** Whether the mount is for root alone, and its users have not asked for checks. */
export function isForRootAlone({ allowOther, acl, defaultPermissions }: MountWords): boolean {
  return process.getuid?.() === 0 && !allowOther && !acl && !defaultPermissions
}

/** Adds to the operations of a file system what the kernel leaves to it where it does not check permissions. */
export function forRootAlone(operations: Operations, metadata: Metadata): Operations {
  const all: Operations = { ...operations, access: accessOf(metadata) }
  const limited = checked.flatMap((name) => {
    const operation = all[name]
    return operation === undefined ? [] : [[name, refusingOthers(operation)] as const]
  })
  return { ...all, ...Object.fromEntries(limited) }
}

function refusingOthers(operation: Operation): Operation {
  return (request, fields, keep) => {
    if (request.caller.uid !== 0) throw new DfsError('access')
    return operation(request, fields, keep)
  }
}

/** access(2) of root: a file that nobody may execute is all that is not allowed. */
function accessOf(metadata: Metadata): Operation {
  return async ({ ino }, fields) => {
    if ((fields.u32() & constants.X_OK) !== 0) {
      const { mode } = (await metadata.find(ino)).inode
      const isProgram = typeOf(mode) !== fileType.file || (mode & executableByAny) !== 0
      if (!isProgram) throw new DfsError('access')
    }
    return answers.done()
  }
}
