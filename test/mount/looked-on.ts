/** Commands that wait for servers look on from outside: a mount of the same account stays alone meanwhile. */
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { spawnMortal } from '../fixtures/mortal.js'
import { TestMounts } from '../fixtures/mount.js'
import { outcomeOf } from '../fixtures/outcome.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(120_000)
const dfc = resolve(import.meta.dirname, '../../../bin/dfc')
const servers = await startServerProcesses(t)
// Long, because servers that are late on a busy machine would count as down.
const mounts = new TestMounts(t, servers.config('alice', 10_000))
const mount = await mounts.start('mnt', '--metrics', '127.0.0.1:0')
const url = /http:\S+\/metrics/.exec(mount.said.join('\n'))?.[0] ?? ''

async function isAlone(): Promise<boolean> {
  return /^dfs_mount_alone 1$/m.test(await (await fetch(url)).text())
}

/** Whether the mount is alone within some seconds, and then stays so for some. */
async function staysAlone(t: Test): Promise<void> {
  for (let turn = 0; turn < 200 && !(await isAlone()); turn += 1) await sleep(50)
  let count = 0
  for (let turn = 0; turn < 40; turn += 1) {
    if (await isAlone()) count += 1
    await sleep(100)
  }
  t.equal(count, 40, 'the mount stays alone')
}

/** Has programs use the mount, which asks for its lease as long as they do. */
const user = mount.sh('while ! [ -e end ]; do echo x > busy; sleep 0.02; done')
t.teardown(async () => {
  await mount.sh('touch end')
  await user
})

const start = (...words: readonly string[]) =>
  spawnMortal(dfc, words, { env: mounts.environment, timeout: 60_000 })

t.test('status --wait, for a server that is away', async (t) => {
  await servers.kill(3)
  const waiting = outcomeOf(start('status', '--wait', '40s'))
  await sleep(2_000)
  await staysAlone(t)
  await servers.start(3)
  const { status, out } = await waiting
  t.match(out, /All four servers are up and complete/)
  t.equal(status, 0)
})

t.test('server replace, until the new disk is there', async (t) => {
  const child = start('server', 'replace', 'DFS3', '--wait', '50s')
  let said = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  const replaced = outcomeOf(child)
  while (!said.includes('Stop DFS3 now')) await sleep(50)
  await staysAlone(t)
  await servers.kill(2)
  servers.wipe(2)
  // It is noticed, and looked at once.
  await sleep(3_000)
  await staysAlone(t)
  await servers.start(2)
  const { status, problems } = await replaced
  t.equal(status, 0, problems)
  t.match(said, /DFS3 has an empty disk and is filled now/)
})
