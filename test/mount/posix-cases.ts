/** The table of POSIX cases in a real mount, and in a local folder, which says that the table is right. */
import { resolve } from 'node:path'
import t, { type Test } from 'tap'
import { shell, TestMounts } from '../fixtures/mount.js'
import { posixCases } from '../fixtures/posix-cases.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(120_000)
const program = resolve(import.meta.dirname, '../fixtures/posix-folder.js')
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')

/** There a file may be larger than ours. */
const elsewhere = new Set(['a file has an end'])

async function check(t: Test, folder: string, skipped: ReadonlySet<string>): Promise<void> {
  const { out, problems } = await shell(`${process.execPath} ${program} .`, folder)
  const results: unknown = JSON.parse(out === '' ? '[]' : out)
  t.equal(Array.isArray(results) && results.length, posixCases.length, problems)
  for (const [index, [what, expected]] of posixCases.entries()) {
    const asText = JSON.stringify(expected, (_, v) => (typeof v === 'bigint' ? `${v}n` : v))
    const found = Array.isArray(results) ? results[index] : undefined
    if (!skipped.has(what)) t.same(found, JSON.parse(asText), what)
  }
}

t.test('in a mount', (t) => check(t, mount.mountpoint, new Set()))

t.test('in a local folder', (t) => check(t, mounts.folder('local'), elsewhere))

t.test('in a mount while a server is down', async (t) => {
  await servers.kill(3)
  await mount.out('mkdir again')
  await check(t, `${mount.mountpoint}/again`, new Set())
})
