/** What test files start and make ends with them, however they end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { noMounts } from './fixtures/fuse-program.js'
import { isMounted } from './fixtures/mount.js'
import { until } from './fixtures/servers.js'

t.setTimeout(180_000)
const file = resolve(import.meta.dirname, 'fixtures/everything.js')
const goneMs = 30_000

/** The command lines of all processes that have one of `folders` on it. */
function processesWith(folders: readonly string[]): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
    .filter((line) => folders.some((folder) => line.includes(folder)))
}

function isQuiet(folders: readonly string[]): boolean {
  return processesWith(folders).length === 0
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path) !== undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

t.test('a test file that is killed leaves nothing', { skip: noMounts }, async (t) => {
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      said += bytes.toString()
    })
  }
  await Promise.race([until(() => /^ready .*$/m.test(said), 120_000), ended])
  const words = /^ready (.*)$/m.exec(said)?.[1]
  if (words === undefined) throw new Error(said)
  const folders = JSON.parse(words) as readonly string[]
  t.ok(folders.every(existsSync))
  t.ok(folders.filter(isMounted).length >= 3)
  t.ok(processesWith(folders).length >= 6)

  child.kill('SIGKILL')
  await ended
  // What takes mounts off has them on its command line, too: it is all over when the folders are gone.
  await until(
    () => !folders.some((folder) => isMounted(folder) || isThere(folder)) && isQuiet(folders),
    goneMs,
  )
  t.same(processesWith(folders), [])
  t.notOk(folders.some(isMounted))
  t.notOk(folders.some(isThere))
})
