/** Files by their handles, as an NFS server opens them: name_to_handle_at(2), open_by_handle_at(2). */
import { execFileSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import t from 'tap'
import { type TestMount, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

const memory = '/proc/sys/vm/drop_caches'

const prelude = `
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure):
    _fields_ = [('length', ctypes.c_uint), ('type', ctypes.c_int), ('bytes', ctypes.c_ubyte * 128)]
root = os.open('.', os.O_RDONLY)
def handle_of(path):
    handle, mount = Handle(128), ctypes.c_int()
    if libc.name_to_handle_at(-100, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0) < 0:
        raise OSError(ctypes.get_errno(), 'name_to_handle_at')
    return handle
def opened(handle, flags=os.O_RDONLY):
    fd = libc.open_by_handle_at(root, ctypes.byref(handle), flags)
    if fd < 0: raise OSError(ctypes.get_errno(), 'open_by_handle_at')
    return fd
def tried(handle):
    try:
        os.close(opened(handle))
        return 'opened'
    except OSError as error:
        return errno.errorcode[error.errno]
def forget():
    with open('${memory}', 'w') as file: file.write('2')
def write(path, text):
    with open(path, 'w') as file: file.write(text)
def path_of(fd): return os.path.relpath(os.readlink(f'/proc/self/fd/{fd}'), os.getcwd())
`

function python(mount: TestMount, script: string): Promise<string> {
  return mount.out('exec python3 -c "$SCRIPT"', { SCRIPT: prelude + script })
}

function reasonToSkip(): string | false {
  if (process.getuid?.() !== 0) return 'only root may open by handle'
  try {
    accessSync(memory, constants.W_OK)
    execFileSync('python3', ['--version'], { stdio: 'ignore' })
    return false
  } catch {
    return `python3 is not installed, or ${memory} cannot be written to`
  }
}

t.setTimeout(120_000)
const skip = reasonToSkip()
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')

t.test('a file is opened by its handle when the kernel has forgotten it', { skip }, async (t) => {
  const script = `
write('f', 'as it was')
handle = handle_of('f')
forget()
fd = opened(handle, os.O_RDWR)
print(os.read(fd, 100).decode())
os.pwrite(fd, b'written', 0)
os.close(fd)
os.rename('f', 'g')
forget()
fd = opened(handle)
print(os.read(fd, 100).decode(), os.fstat(fd).st_nlink)
os.symlink('g', 'l')
handle = handle_of('l')
forget()
print(tried(handle))`
  t.equal(await python(mount, script), 'as it was\nwrittenas 1\nELOOP')
})

t.test('a folder is opened by its handle, and knows the folders above it', { skip }, async (t) => {
  const script = `
os.makedirs('a/b/c')
write('a/b/c/d', '')
handle = handle_of('a/b/c')
forget()
fd = opened(handle, os.O_RDONLY | os.O_DIRECTORY)
print(path_of(fd), os.listdir(fd))
os.close(fd)
os.rename('a/b', 'e')
forget()
fd = opened(handle, os.O_RDONLY | os.O_DIRECTORY)
print(path_of(fd))`
  t.equal(await python(mount, script), "a/b/c ['d']\ne/c")
})

t.test('the handle of what was removed is stale', { skip }, async (t) => {
  const script = `
write('gone', 'x')
os.mkdir('folder')
handles = [handle_of('gone'), handle_of('folder')]
os.unlink('gone')
os.rmdir('folder')
print([tried(handle) for handle in handles])
write('gone', 'another')
os.mkdir('folder')
forget()
print([tried(handle) for handle in handles])`
  t.equal(await python(mount, script), "['ESTALE', 'ESTALE']\n['ESTALE', 'ESTALE']")
})

t.test('a handle outlives the mount', { skip }, async (t) => {
  const hex = await python(
    mount,
    "write('kept', 'the same'); print(bytes(handle_of('kept')).hex())",
  )
  await mount.end()
  const next = await mounts.start('mnt')
  const script = `
forget()
fd = opened(Handle.from_buffer_copy(bytes.fromhex('${hex}')))
print(os.read(fd, 100).decode())`
  t.equal(await python(next, script), 'the same')
})
