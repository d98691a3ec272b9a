/** Tests of attributes that depend on the caller: users, root with fewer rights, containers. */
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { shell, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

const script = `
import errno, os
names = ['trusted.t', 'user.u', 'trusted.v']
def is_readable(name):
    try:
        os.getxattr('f', name)
        return True
    except OSError as error:
        assert error.errno == errno.ENODATA
        return False
listed, readable = os.listxattr('f'), [name for name in names if is_readable(name)]
print(' '.join(listed), '' if sorted(listed) == sorted(readable) else readable)`

interface Person {
  /** What runs it, */
  readonly command?: string
  /** and what it does first: a stranger might not find Python. */
  readonly becomes?: string
  readonly lists: string
}

const stranger = 'os.setgroups([]); os.setresgid(*[65534] * 3); os.setresuid(*[65534] * 3)'
/** SECBIT_NO_SETUID_FIXUP: it keeps what root may do. */
const keepsRights = 'import ctypes; ctypes.CDLL(None).prctl(28, 4, 0, 0, 0)'
const every = 'trusted.t user.u trusted.v'
const people: Readonly<Record<string, Person>> = {
  root: { lists: every },
  'a user': { becomes: stranger, lists: 'user.u' },
  'a user who may do what root may': { becomes: `${keepsRights}; ${stranger}`, lists: every },
  'root of a container': { command: 'setpriv --bounding-set -sys_admin', lists: 'user.u' },
  'root of its own users': { command: 'unshare --user --map-root-user', lists: 'user.u' },
}

function reasonToSkip(command: string): string | false {
  if (process.getuid?.() !== 0) return 'only root can be somebody else'
  try {
    execFileSync('/bin/sh', ['-c', `${command} python3 --version`], { stdio: 'ignore' })
    return false
  } catch {
    return `this cannot be run here: ${command} python3`
  }
}

t.setTimeout(120_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt', '-o', 'allow_other')
// Other users must be able to walk there.
await shell('chmod 755 .', mounts.path(''))
const make = `import os
open('f', 'w').close()
os.chmod('f', 0o644)
for name in ['trusted.t', 'user.u', 'trusted.v']: os.setxattr('f', name, b'1')`

for (const [who, { command = '', becomes = '', lists }] of Object.entries(people)) {
  const skip = reasonToSkip(command)
  t.test(`${who} is told of the attributes that can be read`, { skip }, async (t) => {
    await mount.out('chmod 755 . && python3 -c "$MAKE"', { MAKE: make })
    const asked = `import os; ${becomes}\n${script}`
    t.equal((await mount.out(`${command} python3 -c "$SCRIPT"`, { SCRIPT: asked })).trim(), lists)
  })
}
