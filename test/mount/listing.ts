/** Programs that go to and fro in a large folder: telldir(3), seekdir(3). */
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { type TestMount, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

const prelude = `
import ctypes, os, random, sys, time
libc = ctypes.CDLL(None, use_errno=True)
class Entry(ctypes.Structure):
    _fields_ = [('ino', ctypes.c_uint64), ('off', ctypes.c_int64), ('length', ctypes.c_uint16),
                ('type', ctypes.c_uint8), ('name', ctypes.c_char * 256)]
libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Entry)
libc.readdir.argtypes = libc.rewinddir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
def opened(): return libc.opendir(b'.')
def next_of(folder):
    entry = libc.readdir(folder)
    return entry.contents.name.decode() if entry else None
def rest_of(folder):
    names = []
    while (name := next_of(folder)) is not None: names.append(name)
    return names
def make(name): os.symlink('x', name)
folder = opened()
`

function python(mount: TestMount, script: string): Promise<string> {
  return mount.out('mkdir $$ && cd $$ && exec python3 -c "$SCRIPT"', { SCRIPT: prelude + script })
}

function reasonToSkip(): string | false {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' })
    return false
  } catch {
    return 'python3 is not installed'
  }
}

t.setTimeout(240_000)
const skip = reasonToSkip()
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')

t.test(
  'a seek in a folder of 4,000 names takes a small part of the time of a listing',
  { skip },
  async (t) => {
    const script = `
for index in range(4000): make(f'n{index:05}')
places, names = [], []
libc.rewinddir(folder)
while True:
    places.append(libc.telldir(folder))
    name = next_of(folder)
    if name is None: break
    names.append(name)
def timed(work, *words):
    began = time.monotonic()
    work(*words)
    return time.monotonic() - began
def seek(chosen):
    for index in chosen:
        libc.seekdir(folder, places[index])
        found = next_of(folder)
        if found != names[index]: print(index, found)
def list_all():
    libc.rewinddir(folder)
    rest_of(folder)
listings = seeks = 0
for turn in range(10):
    listings += timed(list_all)
    seeks += timed(seek, random.Random(turn).sample(range(4000), 20))
libc.seekdir(folder, places[-1])
if next_of(folder) is not None: print('no end')
# The kernel may list from pages of its own, without a request: to seek in 4,000 names by reading them takes longer.
isQuick = seeks / 200 < max(listings / 120, 0.002)
print(len(names), len(set(names)), 'quick' if isQuick else (seeks, listings))`
    t.equal(await python(mount, script), '4002 4002 quick')
  },
)

t.test(
  'a position stays the same while names come and go, also in a new open of the folder',
  { skip },
  async (t) => {
    const script = `
for index in range(300): make(f'n{index:05}')
libc.rewinddir(folder)
places = {}
while (name := next_of(folder)) is not None: places[name] = libc.telldir(folder)
for index in range(0, 300, 3): os.unlink(f'n{index:05}')
for index in range(0, 300, 7): make(f'n{index:05}+')
make('a'); make('z')
now = ['.', '..'] + sorted(os.listdir('.'))
stays = [name for name in now if name in places]
for name, place in places.items():
    behind = [one for one in stays if one > name]
    libc.seekdir(folder, place)
    if [one for one in rest_of(folder) if one in stays] != behind: print('here', name)
    other = opened()
    libc.seekdir(other, place)
    if rest_of(other) != [one for one in now if one > name]: print('anew', name)
    libc.closedir(ctypes.c_void_p(other))
libc.rewinddir(folder)
if rest_of(folder) != now: print('from the beginning')
print('done')`
    t.equal(await python(mount, script), 'done')
  },
)

t.test('a program that removes listed names meets every name once', { skip }, async (t) => {
  const script = `
for index in range(5000): make(f'n{index:05}')
libc.rewinddir(folder)
met = []
while (name := next_of(folder)) is not None:
    met.append(name)
    if name[0] != '.': os.unlink(name)
print(len(met), len(set(met)), os.listdir('.'))`
  t.equal(await python(mount, script), '5002 5002 []')
})
