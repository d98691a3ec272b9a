/** Servers get new disks, addresses and passwords: `dfc server replace`, `dfc server move` and `dfc passwd`. */
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { systemRandom } from '../../src/clock.js'
import type { ClientConfig } from '../../src/config.js'
import { UserOfDfc } from '../fixtures/client.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { outcomeOf } from '../fixtures/outcome.js'
import { startServerProcess } from '../fixtures/server-process.js'
import { openProxies } from '../fixtures/server-proxy.js'
import { startServerProcesses, startServers, type TestServers, until } from '../fixtures/servers.js'

t.setTimeout(180_000)
const timeoutMs = 10_000
const dfsServer = resolve(import.meta.dirname, '../../../bin/dfs-server')

interface Known {
  readonly servers: TestServers
  readonly user: UserOfDfc
  readonly config: ClientConfig
}

/** An account with a file, whose client talks TLS, so that it knows the servers' keys. */
async function start(t: Test): Promise<Known> {
  const servers = await startServers(t, 'nobody')
  const config: ClientConfig = { ...servers.config('alice', timeoutMs), tls: 'on' }
  const user = new UserOfDfc(join(t.testdirName, 'user'), config)
  user.write('file', systemRandom.bytes(300_000))
  t.match(await user.dfc('put', 'file'), { status: 0 })
  return { servers, user, config }
}

t.test('a disk is replaced step by step, and its new key is trusted', async (t) => {
  const { servers, user } = await start(t)
  const child = user.start(['server', 'replace', 'dfs3', '--wait', '60s'])
  let said = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  const ending = outcomeOf(child)
  await until(() => said.includes('Stop DFS3 now'))
  await servers.kill(2)
  servers.wipe(2)
  await servers.start(2)
  t.match(await ending, { status: 0, problems: '' })
  t.match(
    said,
    new RegExp(
      [
        '^The three other servers are complete\\.',
        'Stop DFS3 now, replace its disk, and start dfs-server with the empty folder at 127\\.0\\.0\\.1:\\d+\\.',
        'DFS3 shows the key sha256:.*',
        'It is trusted from now on, instead of sha256:.*',
        'DFS3 has an empty disk and is filled now\\.',
        'DFS3 is complete, and so are the others: the next server may be taken down\\.\n$',
      ].join('\n'),
    ),
  )
  t.match(await user.dfc('status'), { status: 0 })
  t.match(await user.dfc('verify'), { status: 0 })
})

t.test('it says when another server was stopped instead, and what has come back', async (t) => {
  const { servers, user } = await start(t)
  const child = user.start(['server', 'replace', 'DFS3', '--wait', '8s'])
  let [said, problems] = ['', '']
  child.stdout?.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  child.stderr?.on('data', (bytes: Buffer) => {
    problems += bytes.toString()
  })
  const ending = outcomeOf(child)
  await until(() => said.includes('Stop DFS3 now'))
  await servers.kill(1)
  await until(() => problems.includes('DFS2 does not vote now'), 8_000)
  t.match(problems, /DFS3 is the server to replace/)
  await servers.start(1)
  t.match(await ending, { status: 1 })

  await servers.kill(2)
  const again = user.start(['server', 'replace', 'DFS3', '--wait', '60s'])
  said = ''
  again.stdout?.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  const end = outcomeOf(again)
  await until(() => said.includes('Start dfs-server'))
  await servers.start(2)
  t.match(await end, { status: 0 })
  t.match(said, /DFS3 is up and has data/)
  t.notMatch(said, /empty disk and is filled/)
})

t.test('it is refused while another server lacks something, unless it is forced', async (t) => {
  const { servers, user } = await start(t)
  await servers.kill(1)
  t.match(await user.dfc('server', 'replace', 'DFS3'), {
    status: 1,
    problems: /DFS3 must not be taken down now.*: DFS2 is not there/,
  })
  user.write('late', systemRandom.bytes(300_000))
  t.match(await user.dfc('put', 'late'), { status: 0 })
  await servers.start(1)
  const refused = await user.dfc('server', 'replace', 'DFS3')
  t.match(refused, {
    status: 1,
    out: '',
    problems:
      /data could be lost: DFS2 misses \d+ registers and 2 pieces\. "dfc heal" completes them/,
  })
  const forced = await user.dfc('server', 'replace', 'DFS3', '--force', '--wait', '0s')
  t.match(forced, { status: 1, out: /^Stop DFS3 now/, problems: /going on although DFS2 misses/ })
  t.match(forced.problems, /DFS3 has no new disk yet: "dfc server replace" may be given again/)
  t.match(await user.dfc('heal'), { status: 0 })
  t.match(await user.dfc('server', 'replace', 'DFS3', '--wait', '0s'), { out: /^The three other/ })
})

t.test('a server is moved only where it is really it that answers', async (t) => {
  const { servers, user, config } = await start(t)
  const { proxies } = await openProxies(t, servers)
  const conf = `${user.folder}.conf`
  const text = `# kept\n${readFileSync(conf, 'utf8').replace('[[server]]', '[[server]] # first')}`
  writeFileSync(conf, text)
  chmodSync(conf, 0o400)
  const [, second, third] = proxies
  const at = ({ host, port }: { host: string; port: number } = { host: '', port: 0 }): string =>
    `${host}:${port}`
  for (const [address, problem] of [
    ['nowhere', /"nowhere" is no address/],
    ['127.0.0.1:1', /DFS3 cannot be used at 127\.0\.0\.1:1, so nothing was changed/],
    [at(second), /DFS3 cannot be used at .*: the key of DFS3 is not the one that is known/],
    [at(config.servers[1]?.address), /is the address of DFS2/],
  ] as const) {
    t.match(await user.dfc('server', 'move', 'DFS3', address), {
      status: 1,
      out: '',
      problems: problem,
    })
  }
  t.equal(readFileSync(conf, 'utf8'), text, 'nothing was changed')
  t.match(await user.dfc('server', 'move', 'DFS3', at(third)), {
    status: 0,
    out: /^DFS3 answers at 127\.0\.0\.4:\d+: written to /,
  })
  const old = at(config.servers[2]?.address)
  t.equal(readFileSync(conf, 'utf8'), text.replace(old, at(third)))
  t.equal(statSync(conf).mode & 0o777, 0o400)
  t.match(await user.dfc('status'), { status: 0, out: new RegExp(`DFS3 +${at(third)} +up`) })
})

t.test(
  'a new server is not claimed by a move, and one of another position is refused',
  async (t) => {
    const servers = await startServerProcesses(t)
    const user = new UserOfDfc(join(t.testdirName, 'user'), servers.config('alice', timeoutMs))
    t.match(await user.dfc('mkdir', 'd'), { status: 0 })
    const folder = join(t.testdirName, 'fresh')
    mkdirSync(folder)
    const fresh = await startServerProcess(folder, servers.usersFile, 0, (line) => t.comment(line))
    t.teardown(() => fresh.kill())
    for (let turn = 0; turn < 2; turn += 1) {
      t.match(await user.dfc('server', 'move', 'DFS3', `127.0.0.1:${fresh.port}`), {
        status: 1,
        problems: /is new and belongs to no cluster/,
      })
    }
    const { proxies } = await openProxies(t, servers)
    t.match(await user.dfc('server', 'move', 'DFS3', `127.0.0.3:${proxies[1]?.port}`), {
      status: 1,
      problems: /number 2 of the cluster, not number 3/,
    })
    t.match(await user.dfc('server', 'move', 'DFS3'), { status: 1, problems: /expected "server/ })
    t.match(await user.dfc('server', 'paint', 'DFS3'), { status: 1, problems: /expected "server/ })
  },
)

t.test('a password goes into the configuration when the servers accept it', async (t) => {
  const servers = await startServerProcesses(t)
  const change = async (password: string): Promise<void> => {
    const words = ['user', 'passwd', 'alice', '--config', servers.usersFile]
    const child = spawnMortal(dfsServer, words)
    child.stdin?.end(`${password}\n`)
    const { status, problems } = await outcomeOf(child)
    if (status !== 0) throw new Error(problems)
  }
  await change('secret')
  const user = new UserOfDfc(join(t.testdirName, 'user'), servers.config('alice', timeoutMs))
  t.match(await user.dfc('list'), { status: 0 })
  const conf = `${user.folder}.conf`
  const text = `# mine\n${readFileSync(conf, 'utf8')}`
  writeFileSync(conf, text)
  const passwd = async (typed: string, environment: NodeJS.ProcessEnv = {}) => {
    const child = user.start(['passwd'], environment)
    child.stdin?.end(`${typed}\n`)
    return outcomeOf(child)
  }
  t.match(await passwd('se "cond'), {
    status: 1,
    out: '',
    problems:
      /DFS1: Invalid Username(.*\n)*.*nothing was changed: 0 servers accept the new password/,
  })
  t.match(await passwd('secret'), {
    status: 1,
    problems: /the password of the configuration already/,
  })
  t.match(await passwd(''), { status: 1, problems: /must not be empty/ })
  t.equal(readFileSync(conf, 'utf8'), text)
  await change('se "cond')
  const ofEnvironment = await passwd('se "cond', { DFC_PASSWORD: 'secret' })
  t.match(ofEnvironment, { status: 0, out: /^4 servers accept the new password/ })
  t.match(ofEnvironment.problems, /^dfc: DFC_PASSWORD is set .* wins over what was written: .*\n$/)
  t.equal(readFileSync(conf, 'utf8'), text.replace('"secret"', '"se \\"cond"'))
  t.equal(statSync(conf).mode & 0o777, 0o600)
  t.match(await user.dfc('list'), { status: 0 })
  await servers.kill(3)
  await change('third')
  // What is in the environment is not what is in the file, and no harm when it is the new one.
  t.match(await passwd('third', { DFC_PASSWORD: 'third' }), {
    status: 0,
    out: /^3 servers accept.*\nGive DFS4 the new/,
    problems: /^dfc: DFS4: .*\n$/,
  })
  const without = readFileSync(conf, 'utf8').replace(/password = .*\n/, '')
  writeFileSync(conf, without)
  t.match(await passwd('fourth', { DFC_PASSWORD: 'third' }), {
    status: 1,
    problems: /has no password to be changed: .* where DFC_PASSWORD is set/,
  })
})
