import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { checksumsOf } from '../../src/wire/checksum.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { RawClient } from '../fixtures/raw-client.js'
import { until } from '../fixtures/servers.js'

const program = resolve(import.meta.dirname, '../../src/dfs/main.js')

t.setTimeout(240_000)

interface Process {
  readonly child: ChildProcess
  /** What it has said on standard error so far. */
  readonly said: () => string
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

function run(t: Test, ...words: readonly string[]): Process {
  const child = spawnMortal(process.execPath, [program, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes: Buffer) => {
      text += bytes.toString()
    })
  }
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal)
  return { child, said: () => text, ended }
}

/** The port that it says to listen on. */
async function portOf({ said, ended }: Process): Promise<number> {
  for (;;) {
    const match = /listens on 127\.0\.0\.1:(\d+)\n/.exec(said())
    if (match !== null) return Number(match[1])
    const code = await Promise.race([ended, new Promise((done) => setTimeout(done, 10))])
    if (code !== undefined) throw new Error(said())
  }
}

/** A folder to work in, with the users alice and bob in a config file. */
function prepare(t: Test): { folder: string; config: string } {
  const folder = t.testdir({})
  const config = join(folder, 'dfs.conf')
  writeFileSync(config, '[users.alice]\npassword = "secret"\n', { mode: 0o600 })
  return { folder: join(folder, 'DFS1'), config }
}

const status = { failed: 1, notUnderstood: 2, wrongConfiguration: 78 }

/** Ends with this code and says one line. */
async function fails(
  t: Test,
  code: keyof typeof status,
  message: RegExp,
  ...words: readonly string[]
): Promise<void> {
  const { ended, said } = run(t, ...words)
  t.equal(await ended, status[code], words.join(' '))
  t.match(said(), message)
  t.equal(said().trimEnd().split('\n').length, 1, 'one line')
  t.notMatch(said(), /^ +at /m, 'no stack')
}

t.test('makes its folder, says one line when it is ready, and serves', async (t) => {
  const { folder, config } = prepare(t)
  const deep = join(folder, 'not', 'there', 'DFS1')
  const server = run(t, deep, '0', '--config', config)
  const port = await portOf(server)
  const name = readFileSync(`/proc/${server.child.pid}/comm`, 'utf8')
  t.equal(name, 'dfs-server\n')
  t.match(
    server.said(),
    new RegExp(`^\\S+ info ${basename(deep)} listens on 127\\.0\\.0\\.1:${port}\n`),
  )
  const client = await RawClient.open(port)
  t.same(await client.call('ping', {}), {})
  t.match(server.said(), /passwords in clear text: alice/)
  t.ok(existsSync(join(deep, 'alice', 'index.db')))
})

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  t.test(`ends with code 0 at ${signal}, also with a client connected`, async (t) => {
    const { folder, config } = prepare(t)
    const server = run(t, folder, '0', '--config', config)
    const client = await RawClient.open(await portOf(server))
    server.child.kill(signal)
    t.equal(await server.ended, 0)
    await client.closed
  })
}

t.test('writes its log to a file, which SIGHUP opens anew', async (t) => {
  const { folder, config } = prepare(t)
  const log = `${folder}.log`
  const server = run(t, folder, '0', '--config', config, '--log', log)
  const isReady = (): boolean => existsSync(log) && /clear text/.test(readFileSync(log, 'utf8'))
  await until(isReady)
  const before = readFileSync(log, 'utf8')
  t.match(
    before,
    /^\S+ info DFS1 listens on 127\.0\.0\.1:\d+\n\S+ warning .*passwords in clear text/,
  )
  renameSync(log, `${log}.old`)
  server.child.kill('SIGHUP')
  await until(() => existsSync(log))
  t.equal(server.child.exitCode, null, 'goes on')
  server.child.kill('SIGTERM')
  t.equal(await server.ended, 0)
  t.equal(server.said(), '')
  await fails(
    t,
    'wrongConfiguration',
    /the log cannot be written: ENOENT/,
    folder,
    '0',
    '--config',
    config,
    '--log',
    '/no/log',
  )
})

t.test('nobody can log in to a server that nobody has set up', async (t) => {
  const { folder, config } = prepare(t)
  const sample = resolve(import.meta.dirname, '../../../config/dfs.conf.sample')
  copyFileSync(sample, config)
  const remedy =
    /dfs\.conf: there are no users; "dfs-server user add NAME --config .*dfs\.conf" adds one\n$/
  await fails(t, 'wrongConfiguration', remedy, folder, '0', '--config', config)
  t.notOk(existsSync(folder), 'nothing was made')
})

t.test(
  'uses the config in its folder when none is named, and then that of the machine',
  async (t) => {
    const { folder, config } = prepare(t)
    const machine = '/etc/dfs/dfs.conf'
    if (!existsSync(machine)) {
      await fails(
        t,
        'wrongConfiguration',
        /^dfs-server: \/etc\/dfs\/dfs\.conf: there are no users: there is no /,
        folder,
        '0',
      )
    }
    mkdirSync(folder)
    copyFileSync(config, join(folder, 'dfs.conf'))
    const server = run(t, folder, '0')
    await RawClient.open(await portOf(server))
    t.match(server.said(), 'DFS1/dfs.conf: passwords in clear text: alice')
  },
)

t.test(
  'nothing of the package is changed, and no program looks for a configuration in it',
  async (t) => {
    const project = resolve(import.meta.dirname, '../../..')
    t.same(readdirSync(join(project, 'config')).sort(), ['dfc.conf.sample', 'dfs.conf.sample'])
    const sources = readdirSync(join(project, 'src'), { recursive: true, encoding: 'utf8' })
    const named = sources
      .filter((file) => file.endsWith('.ts'))
      .filter((file) =>
        /config\/df[cs]\.conf|'config', 'df/.test(readFileSync(join(project, 'src', file), 'utf8')),
      )
    t.same(named, [])
  },
)

t.test('refuses a password that others can read', async (t) => {
  const { folder, config: own } = prepare(t)
  const open = mkdtempSync(join(tmpdir(), 'dfs-main-'))
  t.teardown(() => rmSync(open, { recursive: true }))
  chmodSync(open, 0o755)
  const config = join(open, 'dfs.conf')
  copyFileSync(own, config)
  chmodSync(config, 0o640)
  const said =
    /dfs\.conf: holds a password, and others can read it \(mode 0640\): chmod 600 .*dfs\.conf\n$/
  await fails(t, 'wrongConfiguration', said, folder, '0', '--config', config)
})

t.test('others may pass through the folders that it makes above its own', async (t) => {
  const { folder, config } = prepare(t)
  const above = join(folder, '../a/b')
  const server = run(t, join(above, 'DFS1'), '0', '--config', config)
  await portOf(server)
  const modeOf = (folder: string): number => statSync(folder).mode & 0o777
  t.same([modeOf(join(above, '..')), modeOf(above)], [0o755, 0o755])
  t.equal(modeOf(join(above, 'DFS1')), 0o700)
})

t.test('what it keeps is for its owner alone, also in a folder that was open before', async (t) => {
  const { folder, config } = prepare(t)
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  mkdirSync(join(folder, 'alice'), { recursive: true, mode: 0o755 })
  writeFileSync(join(folder, 'lock.db'), '', { mode: 0o644 })
  const server = run(t, folder, '0', '--config', config)
  const client = await RawClient.open(await portOf(server))
  const bytes = Buffer.alloc(limits.smallPieceBytesMax + 1, 1)
  const [segment, length] = ['ab'.repeat(16), bytes.length]
  const part = { segment, piece: 1, pieceLength: length, offset: 0, checksums: checksumsOf(bytes) }
  await client.call('putPiece', part, bytes)
  const open = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => `${name} ${(statSync(join(folder, name)).mode & 0o777).toString(8)}`)
    .filter((line) => !/ [67]00$/.test(line))
  t.same(open, [])
})

t.test('refuses a folder that another process serves, until that is gone', async (t) => {
  const { folder, config } = prepare(t)
  const first = run(t, folder, '0', '--config', config)
  await portOf(first)
  const inUse = /^dfs-server: .*DFS1 is in use by another server\n$/
  await fails(t, 'failed', inUse, folder, '0', '--config', config)
  first.child.kill('SIGKILL')
  await first.ended
  t.ok(await portOf(run(t, folder, '0', '--config', config)), 'the lock went with the process')
})

t.test('says what is wrong in one line', async (t) => {
  const { folder, config } = prepare(t)
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const withConfig = ['--config', config]
  await fails(
    t,
    'failed',
    /^dfs-server: cannot listen on 127\.0\.0\.1:\d+: the port is already in use\n$/,
    folder,
    `${port}`,
    ...withConfig,
  )
  await fails(
    t,
    'failed',
    /^dfs-server: cannot listen on 192\.0\.2\.1:0: this machine has no such address/,
    folder,
    '0',
    '--host',
    '192.0.2.1',
    ...withConfig,
  )
  for (const bad of ['65536', 'http', '-1x', '', '1.5']) {
    await fails(
      t,
      bad === '-1x' ? 'notUnderstood' : 'wrongConfiguration',
      /is not a port: expected a number from 0 to 65535\n$|unknown option/,
      folder,
      bad,
      ...withConfig,
    )
  }
  await fails(
    t,
    'failed',
    /cannot be a server's folder: /,
    '/proc/nowhere/DFS1',
    '0',
    ...withConfig,
  )
  await fails(
    t,
    'failed',
    /cannot be a server's folder: /,
    join(config, 'DFS1'),
    '0',
    ...withConfig,
  )
  await fails(
    t,
    'wrongConfiguration',
    /cannot be a server's folder: it is not a folder/,
    config,
    '0',
    ...withConfig,
  )
  await fails(
    t,
    'wrongConfiguration',
    /nowhere\.conf: there are no users: there is no such file; /,
    folder,
    '0',
    '--config',
    '/nowhere.conf',
  )
  writeFileSync(config, '[users.alice]\n')
  await fails(
    t,
    'wrongConfiguration',
    /dfs\.conf:1: alice: expected exactly one of/,
    folder,
    '0',
    ...withConfig,
  )
})

t.test('leaves nothing in its folder but what is documented', async (t) => {
  const { folder, config } = prepare(t)
  const server = run(t, folder, '0', '--config', config)
  const client = await RawClient.open(await portOf(server))
  await client.call('status', {})
  server.child.kill('SIGTERM')
  await server.ended
  t.same(readdirSync(folder).sort(), ['alice', 'identity.json', 'lock.db'])
  t.same(readdirSync(join(folder, 'alice')).sort(), ['index.db', 'pieces', 'uploads'])
})
