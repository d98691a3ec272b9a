/** The smallest file system by paths: node dist/examples/hello.js MOUNTPOINT. One file, with a greeting. */
import Fuse, { type Operations } from 'dfs-pairs/fuse-native'

const greeting = Buffer.from('hello world\n')

const operations: Operations = {
  readdir(path, cb) {
    if (path === '/') cb(0, ['greeting'])
    else cb(Fuse.ENOENT)
  },
  getattr(path, cb) {
    if (path === '/') cb(0, { mode: 0o040755, size: 4096, nlink: 2 })
    else if (path === '/greeting') cb(0, { mode: 0o100644, size: greeting.length })
    else cb(Fuse.ENOENT)
  },
  open(_path, _flags, cb) {
    cb(0, 42)
  },
  read(_path, _fd, buffer, length, position, cb) {
    cb(greeting.subarray(position, position + length).copy(buffer))
  },
  release(_path, _fd, cb) {
    cb(0)
  },
}

const [mountpoint] = process.argv.slice(2)
if (mountpoint === undefined) throw new Error('usage: hello MOUNTPOINT')
const fuse = new Fuse(mountpoint, operations, { mkdir: true })
fuse.mount((error) => {
  if (error) throw error
  console.log(`mounted on ${fuse.mnt}`)
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => fuse.unmount())
