/** `dfc what-if` says before servers are stopped what is so when they are. */
import { join } from 'node:path'
import t from 'tap'
import { systemRandom } from '../../src/clock.js'
import type { Client } from '../../src/dfc/client.js'
import { emptyContent } from '../../src/dfc/content/content.js'
import { filesOf } from '../../src/dfc/repair/named-files.js'
import { incompleteWithout, leftWithout } from '../../src/dfc/repair/what-if.js'
import { quorum } from '../../src/wire/quorum.js'
import { fileType, rootIno } from '../../src/wire/records.js'
import { UserOfDfc } from '../fixtures/client.js'
import { healNow, openClient, putFile } from '../fixtures/library.js'
import { startServers, until } from '../fixtures/servers.js'

t.setTimeout(120_000)
const servers = await startServers(t)
const dfc = new UserOfDfc(join(t.testdirName, 'user'), servers.config())
const client = await openClient(t, servers)
for (let i = 0; i < 8; i += 1) await putFile(client, `f ${i}`, systemRandom.bytes(100_000))
await putFile(client, 'one byte', Buffer.from('1'))
const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0, content: emptyContent }
await client.namespace.replace(rootIno, 'empty', attributes)
await client.scheduler.heal(healNow)
// What is written now is missing on DFS2, and its pieces are where they do not belong.
await servers.kill(1)
await until(() => client.cluster.up.length === 3)
await putFile(client, 'late', systemRandom.bytes(100_000))
await servers.start(1)
await until(() => client.cluster.voters.length === 4)

const names = new Set<string>()
for await (const { path } of filesOf(client.namespace)) names.add(path)

const sets = [1, 2, 4, 8, 3, 5, 9, 6, 10, 12, 7, 11, 13, 14].map((bits) =>
  [0, 1, 2, 3].filter((server) => bits & (1 << server)),
)

/** Files that cannot be read in full, and those that a single server does not even know. */
async function incompleteNow(of: Client): Promise<string[]> {
  const isWhole = new Map<string, boolean>([...names].map((name) => [name, false]))
  for await (const { path, node } of filesOf(of.namespace)) {
    isWhole.set(path, node !== undefined && (await of.content.isWhole(node.inode)))
  }
  return [...isWhole].flatMap(([path, whole]) => (whole ? [] : [path])).sort()
}

t.test('what is foretold of one, two and three servers comes true', async (t) => {
  const foretold: string[][] = []
  for (const down of sets) {
    const paths: string[] = []
    for await (const { path, isIncompleteNow } of incompleteWithout(client, down)) {
      paths.push(path)
      t.notOk(isIncompleteNow, 'all is there now')
    }
    foretold.push(paths.sort())
  }
  for (const [at, down] of sets.entries()) {
    const { canChange } = await leftWithout(client.cluster, down)
    await servers.kill(...down)
    const other = await openClient(t, servers)
    t.same(await incompleteNow(other), foretold[at], `without ${down}`)
    t.equal(other.cluster.voters.length >= quorum.commit, canChange)
    await other.close()
    for (const server of down) await servers.start(server)
    await until(() => client.cluster.voters.length === 4)
  }
  const counts = foretold.map(({ length }) => length)
  t.ok(counts[0] === 0 || counts[2] === 0, 'one server less is enough for all that is in its place')
  t.ok(Math.max(...counts.slice(4, 10)) >= 9, 'two neighbours are not')
  t.ok(foretold.flat().includes('/late'))
  t.notOk(foretold.flat().includes('/empty'), 'nothing is missing of an empty file')
})

t.test('the command shows it, and its exit status tells', async (t) => {
  t.match(await client.scheduler.heal(healNow), { left: 0 })
  t.match(await dfc.dfc('what-if', '--down', 'DFS2'), {
    status: 0,
    out: 'Without DFS2 all 11 files could be read in full.\nFiles and names could be changed as now.\n',
  })
  t.match(await dfc.dfc('what-if', '--down', 'dfs1,DFS3'), {
    status: 0,
    out: /all 11 files could be read in full\.\nNothing could be changed: 3 servers must agree, and 2 would be left\.\n$/,
  })
  const both = await dfc.dfc('what-if', '--down', 'DFS2,DFS3')
  t.match(both, {
    status: 1,
    out: /^\/late\n(.*\n)*Without DFS2, DFS3 \d+ of 11 files would be incomplete\.\n/m,
  })
  const { status, out } = await dfc.dfc('WHAT-IF', '--json', '--down', 'DFS2,DFS3')
  t.equal(status, 1)
  t.match(JSON.parse(out), {
    incomplete: both.out.split('\n').filter((line) => line.startsWith('/')).length,
    incompleteNow: 0,
    more: 0,
    looked: 11,
    down: ['DFS2', 'DFS3'],
    left: ['DFS1', 'DFS4'],
    canChange: false,
  })
  const none = JSON.parse((await dfc.dfc('what-if', '--json', '--down', 'DFS4')).out)
  t.match(none, { files: [], incomplete: 0, canChange: true })
})

t.test('names beyond the first are counted, and shown when asked for', async (t) => {
  for (let i = 0; i < 20; i += 1) await putFile(client, `more ${i}`, systemRandom.bytes(1000))
  const { out } = await dfc.dfc('what-if', '--down', 'DFS1,DFS2,DFS3')
  t.equal(out.split('\n').filter((line) => line.startsWith('/')).length, 20)
  t.match(out, /^\.\.\. and \d+ more: --all shows every name$/m)
  const all = await dfc.dfc('what-if', '--all', '--down', 'DFS1,DFS2,DFS3')
  t.equal(all.out.split('\n').filter((line) => line.startsWith('/')).length, 29)
  t.notMatch(all.out, /more:/)
  const json = JSON.parse((await dfc.dfc('what-if', '--json', '--down', 'DFS1,DFS2,DFS3')).out)
  t.equal(json.files.length, 20)
  t.equal(json.files.length + json.more, json.incomplete)
})

t.test('a server that is down already counts', async (t) => {
  await servers.kill(2)
  t.match(await dfc.dfc('what-if', '--down', 'DFS2'), {
    status: 1,
    out: /Without DFS2 \(DFS3 is down already\) \d+ of 31 files would be incomplete\.\nNothing could be changed/,
  })
  await servers.kill(1)
  t.match(await dfc.dfc('what-if', '--down', 'DFS2'), {
    status: 1,
    out: /\[incomplete\] already\n(.*\n)*.*files would be incomplete, as they are now\./,
  })
  await Promise.all([servers.start(1), servers.start(2)])
})

t.test('what cannot be asked is refused with a sentence', async (t) => {
  for (const [words, problem] of [
    [[], /name the servers that would be down, such as --down DFS2,DFS3/],
    [['--down', 'DFS9'], /DFS9: there is no such server: expected one of DFS1, DFS2, DFS3, DFS4/],
    [['--down', 'DFS1,DFS2,DFS3,DFS4'], /name at most three/],
    [['--down', 'DFS1,'], /there is no such server/],
  ] as const) {
    t.match(await dfc.dfc('what-if', ...words), { status: 1, out: '', problems: problem })
  }
  t.match(await dfc.dfc('what-if', 'DFS1'), { status: 2 })
})
