/** The process behind kernel-numbers.ts: it touches the mount, and so must hold nothing of it. */
import { lstat } from 'node:fs'

process.on('message', ({ id, path }: { readonly id: number; readonly path: string }) => {
  lstat(path, { bigint: true }, (error, found) => {
    if (process.connected) process.send?.({ id, number: error ? undefined : String(found.ino) })
  })
})
process.on('disconnect', () => process.exit(0))
