/** From nothing to an account with `dfs-server init` and `dfc init` alone, with and without a terminal. */
import { type ChildProcess, execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { escapedPath, mountAdvice } from '../../src/cli/commands/mount-advice.js'
import { isInstalled } from '../fixtures/installed.js'
import { spawnMortal, temporaryFolder } from '../fixtures/mortal.js'
import { type Outcome, outcomeOf } from '../fixtures/outcome.js'

t.setTimeout(240_000)
const bin = resolve(import.meta.dirname, '../../../bin')
const atTerminal = resolve(import.meta.dirname, '../../../test/fixtures/terminal.py')
const home = temporaryFolder('dfs-init-')
const { PATH, NODE_COMPILE_CACHE } = process.env
const environment = { PATH, NODE_COMPILE_CACHE, HOME: home, TZ: 'UTC', LC_ALL: 'C.UTF-8' }
const names = ['DFS1', 'DFS2', 'DFS3', 'DFS4']

interface How {
  readonly input?: string
  readonly env?: NodeJS.ProcessEnv
}

function start(program: string, words: readonly string[], { input, env }: How = {}): ChildProcess {
  const child = spawnMortal(program, words, { cwd: home, env: { ...environment, ...env } })
  child.stdin?.end(input ?? '')
  return child
}

const run = (program: string, words: readonly string[], how?: How): Promise<Outcome> =>
  outcomeOf(start(join(bin, program), words, how))

/** Runs a program at a terminal. `dialogue`: what it shows, and what is typed then. */
const typed = (
  dialogue: readonly (readonly [string, string])[],
  program: string,
  ...words: readonly string[]
): Promise<Outcome> =>
  outcomeOf(start('python3', [atTerminal, JSON.stringify(dialogue), join(bin, program), ...words]))

async function freePort(): Promise<number> {
  const listener = createServer()
  await new Promise<void>((done) => listener.listen(0, '127.0.0.1', done))
  const { port } = listener.address() as { port: number }
  await new Promise((done) => listener.close(done))
  return port
}

/** Starts a server and resolves when it listens. */
async function serve(t: Test, name: string, port: number): Promise<ChildProcess> {
  const child = start(join(bin, 'dfs-server'), [join(home, name), `${port}`])
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  await new Promise<void>((done, fail) => {
    child.stderr?.on('data', (bytes: Buffer) => {
      said += bytes.toString()
      if (/listens on/.test(said)) done()
    })
    child.once('exit', () => fail(new Error(said)))
  })
  return child
}

const ports = await Promise.all(names.map(freePort))
const folderOf = (at: number): string => join(home, names[at] ?? '')
const serverWords = ports.flatMap((port) => ['--server', `127.0.0.1:${port}`])

t.test('dfs-server init makes what a server needs, without a terminal and with one', async (t) => {
  for (const at of [0, 1, 2]) {
    const words = ['init', folderOf(at), `${ports[at]}`, '--user', 'alice']
    const how = at === 0 ? { input: 'secret\n' } : { env: { DFC_PASSWORD: 'secret' } }
    const { status, out, problems } = await run('dfs-server', words, how)
    t.same({ status, problems }, { status: 0, problems: '' })
    t.match(out, `Start it:  dfs-server --host 127.0.0.1 ${folderOf(at)} ${ports[at]}\n`)
  }
  const told = await typed(
    [
      ['Address of this machine to listen on', '127.0.0.1'],
      ['User that may log in', 'alice'],
      ['New password of alice', 'secret'],
      ['Once more', 'secret'],
    ],
    'dfs-server',
    'init',
    folderOf(3),
    `${ports[3]}`,
  )
  t.equal(told.status, 0, told.out)
  t.match(told.out, /Added the user alice to /)
  t.notMatch(told.out, /secret/, 'the terminal does not show it')
  for (const at of names.keys()) {
    t.same(readdirSync(folderOf(at)).sort(), ['dfs.conf', 'dfs.conf.lock', 'server.env'])
    t.equal(statSync(join(folderOf(at), 'dfs.conf')).mode & 0o777, 0o600)
    t.notMatch(readFileSync(join(folderOf(at), 'dfs.conf'), 'utf8'), /secret/)
    t.equal(
      readFileSync(join(folderOf(at), 'server.env'), 'utf8'),
      `DFS_HOST=127.0.0.1\nDFS_PORT=${ports[at]}\n`,
    )
  }
})

t.test('dfs-server init changes nothing that is there, and says what it lacks', async (t) => {
  const words = ['init', folderOf(0), `${ports[0]}`, '--user', 'eve']
  t.match(await run('dfs-server', words, { input: 'x\n' }), {
    status: 1,
    problems: /DFS1\/dfs\.conf is there already: "dfs-server user --config /,
  })
  const fresh = join(home, 'fresh')
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [['70000', '--user', 'eve'], /127\.0\.0\.1 and 70000 are no address to listen on/],
    [['10001'], /without a terminal to ask on, init needs --user NAME/],
    [['10001', '--user', '.eve'], /"\.eve" cannot be a user's name/],
    [['10001', '--user', 'eve'], /A password must not be empty/],
    [
      ['10001', '--user', 'eve', '--password-file', '/nowhere'],
      /\/nowhere: cannot read the password: No such file/,
    ],
  ]
  for (const [more, problems] of wrong) {
    t.match(await run('dfs-server', ['init', fresh, ...more]), { status: 1, problems })
    t.notOk(existsSync(fresh), 'nothing was made')
  }
})

t.test('an empty word for a folder is not the working folder', async (t) => {
  for (const [program, ...words] of [
    ['dfs-server', 'init', '', '10001', '--user', 'eve'],
    ['dfs-server', '', '10001'],
    ['dfs-server', 'key', ''],
    ['dfs-mount', ''],
    ['dfs-mount', '--unmount', ''],
  ]) {
    const { status, problems } = await run(program ?? '', words, { input: 'x\n' })
    t.match({ status, problems }, { status: 2, problems: /is empty/ }, words.join(' '))
  }
  t.notOk(existsSync(join(home, 'dfs.conf')))
})

t.test('dfs-server init quotes for a shell, and minds a link and a file', async (t) => {
  const words = ['10001', '--user', 'alice']
  const { out } = await run('dfs-server', ['init', 'a folder', ...words], { input: 'secret\n' })
  t.match(out, "Start it:  dfs-server --host 127.0.0.1 'a folder' 10001\n")
  mkdirSync(join(home, 'linked'))
  symlinkSync('nowhere', join(home, 'linked/dfs.conf'))
  t.match(await run('dfs-server', ['init', 'linked', ...words], { input: 'secret\n' }), {
    status: 1,
    problems: /linked\/dfs\.conf is there already/,
  })
  writeFileSync(join(home, 'no-folder'), '')
  t.match(await run('dfs-server', ['init', 'no-folder', ...words], { input: 'secret\n' }), {
    status: 1,
    problems:
      'dfs-server: no-folder/dfs.conf: cannot look for the configuration: Not a directory\n',
  })
})

t.test('the key that dfs-server init prints is that of the server', async (t) => {
  const folder = join(home, 'far')
  const words = ['init', folder, '10001', '--user', 'alice', '--host', '192.0.2.1']
  const { out } = await run('dfs-server', words, { input: 'secret\n' })
  const [, key = 'none'] = /^Its key is (sha256:\S+):/m.exec(out) ?? []
  t.equal((await run('dfs-server', ['key', folder])).out, `${key}\n`)
})

const conf = join(home, '.config/dfs/dfc.conf')
const secret = { env: { DFC_PASSWORD: 'secret' } }

t.test('dfc without any configuration says what to do', async (t) => {
  if (existsSync('/etc/dfs/dfc.conf')) return t.pass('this machine has a configuration')
  t.match(await run('dfc', ['list']), {
    status: 1,
    problems: `dfc: there is no configuration: looked for ${conf} and /etc/dfs/dfc.conf. "dfc init" makes one, and`,
  })
})

t.test('dfc init says what it lacks, and writes nothing', async (t) => {
  const user = ['--user', 'alice']
  const wrong: readonly (readonly [string[], How, RegExp])[] = [
    [['--server', 'a:1', ...user], secret, /init needs --server HOST:PORT 4 times, got 1/],
    [['--server', 'a', ...user], secret, /"a" is no address of a server/],
    [[...serverWords, '--server', 'a:1', ...user], secret, /--server is given 5 times: expected 4/],
    [serverWords, secret, /init needs --user NAME/],
    [[...serverWords, ...user], {}, /init needs a password in DFC_PASSWORD, --password-file or/],
    [[...serverWords, ...user, '--output', ''], secret, /--output: expected the name of a file/],
    [
      [...serverWords, ...user],
      secret,
      /DFS1, DFS2, DFS3, DFS4 cannot be used, and nothing was written: a new account needs all 4/,
    ],
  ]
  for (const [words, how, problems] of wrong) {
    t.match(await run('dfc', ['init', ...words], how), { status: 1, problems })
    t.notOk(existsSync(conf))
  }
})

t.test('two commands later there is an account, without a terminal', async (t) => {
  const running = await Promise.all(names.map((name, at) => serve(t, name, ports[at] ?? 0)))
  const words = ['init', ...serverWords, '--user', 'alice']

  await t.test('but not with a wrong password, or servers in another order', async (t) => {
    const wrong = await run('dfc', words, { input: 'wrong\n' })
    t.match(wrong, { status: 1, problems: /nothing was written: mend what is said above/ })
    t.match(wrong.out, /^DFS4 {2}127\.0\.0\.1:\d+ {2}not usable: Invalid Username/m)
    t.notOk(existsSync(conf))
    // A new server has no place yet that it could tell.
    const twice = words.with(4, `localhost:${ports[0]}`)
    const same = await run('dfc', twice, secret)
    t.match(same, { status: 1, problems: /^dfc: DFS2 cannot be used, and nothing was written: / })
    t.match(
      same.out,
      /^DFS2 .*: the addresses of DFS1 and DFS2 in the .* lead to the same server$/m,
    )
    t.notOk(existsSync(conf))
  })

  const mountpoint = join(home, 'mnt')
  const made = await run('dfc', [...words, '--mount', mountpoint], secret)
  t.match(made, { status: 0, problems: '' })
  t.match(made.out, /^DFS1 {2}127\.0\.0\.1:\d+ {2}login good, new, without TLS$/m)
  t.match(made.out, 'The account alice is new and begins on these four servers\n')
  t.match(made.out, `Wrote ${conf}, which only you can read\n`)
  t.match(made.out, `${conf} ${mountpoint} fuse.dfs _netdev,nofail,allow_other,wait=60s 0 0\n`)
  t.equal(statSync(conf).mode & 0o777, 0o600)
  writeFileSync(join(home, 'file'), 'hello')
  t.match(await run('dfc', ['put', 'file']), { status: 0, problems: '' })
  t.match(await run('dfc', ['list']), { out: 'file\n' })

  t.match(await run('dfc', words, secret), {
    status: 1,
    problems: /is there already: --force replaces it/,
  })
  const salts = names.map((_, at) =>
    [...readFileSync(join(folderOf(at), 'dfs.conf'), 'utf8').matchAll(/\d+:([^$]+)\$/g)].map(
      ([, salt]) => salt,
    ),
  )
  t.equal(new Set(salts.flat()).size, 16, 'no two verifiers have one salt')

  const [first = '', second = '', ...others] = ports.map((port) => `127.0.0.1:${port}`)
  const swapped = [second, first, ...others].flatMap((address) => ['--server', address])
  const other = await run(
    'dfc',
    ['init', ...swapped, '--user', 'alice', '--output', 'other'],
    secret,
  )
  t.match(other.out, /^DFS1 .*not usable: This server is number 2 of the cluster, not number 1/m)
  t.match(other, { status: 1 })

  running[2]?.kill('SIGKILL')
  const again = await run('dfc', ['--config', join(home, 'deep/new/dfc.conf'), ...words], secret)
  t.match(again, { status: 0 }, 'one server that is down stops nothing')
  t.match(again.out, /^DFS3 .*not usable: /m)
  t.match(again.out, 'The account alice is there\n')
  t.ok(existsSync(join(home, 'deep/new/dfc.conf')))
  t.match(await run('dfc', [...words, '--force'], { input: 'secret\n' }), { status: 0 })

  const link = join(home, 'link.conf')
  symlinkSync('nowhere.conf', link)
  t.match(await run('dfc', [...words, '--output', link], secret), {
    status: 1,
    problems: /link\.conf is there already/,
  })
  rmSync(link)
  symlinkSync(conf, link)
  writeFileSync(conf, 'of before')
  t.match(await run('dfc', [...words, '--output', link, '--force'], secret), { status: 0 })
  t.ok(lstatSync(link).isSymbolicLink(), 'the link stays')
  t.match(readFileSync(conf, 'utf8'), 'user = "alice"')
  t.equal(statSync(conf).mode & 0o777, 0o600)

  const pipe = join(home, 'pipe')
  execFileSync('mkfifo', [pipe])
  t.match(await run('dfc', [...words, '--output', pipe, '--force'], secret), {
    status: 1,
    out: '',
    problems: `dfc: ${pipe} is there already and is no file: choose another one\n`,
  })
  t.ok(lstatSync(pipe).isFIFO(), 'it stays, as /dev/null would')
})

t.test('dfc init says that standard input is closed', async (t) => {
  const words = ['init', ...serverWords, '--user', 'alice', '--output', 'closed.conf']
  const shell = ['-c', '"$0" "$@" <&-', join(bin, 'dfc'), ...words]
  t.match(await outcomeOf(start('sh', shell)), { status: 1, problems: /^dfc: standard input: / })
})

t.test('dfc init asks at a terminal for what no option says', async (t) => {
  await Promise.all(names.map((name, at) => serve(t, name, ports[at] ?? 0)))
  const file = join(home, 'typed.conf')
  const told = await typed(
    [
      ...ports.map((port, at): readonly [string, string] => [
        `Address of DFS${at + 1}`,
        `127.0.0.1:${port}`,
      ]),
      ['User', 'alice'],
      ['Password of alice', 'secret'],
      ['Folder to mount the files on', ''],
    ],
    'dfc',
    'init',
    '--output',
    file,
  )
  t.equal(told.status, 0, told.out)
  t.notMatch(told.out, /secret/)
  t.match(told.out, 'dfs-mount FOLDER mounts the files')
  t.match(await run('dfc', ['--config', file, 'list']), { status: 0, out: 'file\n' })
})

t.test('a slip at a terminal is asked again, and no answer is lost', async (t) => {
  const first = `127.0.0.1:${ports[0]}`
  const told = await typed(
    [
      ['Address of DFS1', 'nonsense'],
      ['"nonsense" is no address of a server', first],
      ['Address of DFS2', first],
      [`${first} is the address of DFS1: each server has its own`, '127.0.0.1:1'],
      ['Address of DFS3', '127.0.0.1:2'],
      ['Address of DFS4', '[::1]:3'],
      ['User', '.alice'],
      ['".alice" cannot be a user', 'alice'],
      ['Password of alice', ''],
      ['A password must not be empty', 'secret'],
      ['Folder to mount the files on', '/mnt/a b'],
    ],
    'dfc',
    'init',
    '--output',
    'again.conf',
  )
  t.equal(told.status, 1, told.out)
  t.match(
    told.out,
    `To try it again:  dfc init --server ${first} --server 127.0.0.1:1 --server 127.0.0.1:2 --server '[::1]:3' --user alice --mount '/mnt/a b' --output again.conf`,
  )
  t.match(told.out, /DFS2 .* not usable: 127\.0\.0\.1:1: Connection refused/)
  t.notOk(existsSync(join(home, 'again.conf')))

  const server = await typed(
    [
      ['Address of this machine to listen on', 'a b'],
      ['a b and 10001 are no address', 'localhost'],
      ['User that may log in', ''],
      ['"" cannot be a user', 'bob'],
      ['New password of bob', ''],
      ['A password must not be empty', 'secret'],
      ['Once more', 'secret'],
    ],
    'dfs-server',
    'init',
    'slips',
    '10001',
  )
  t.equal(server.status, 0, server.out)
})

t.test('Control-C at a question ends the command, and nothing was made', async (t) => {
  const interrupt = '\u0003'
  const asked: readonly (readonly [string, string])[] = [['Address of DFS1', 'a:1']]
  const client = await typed(
    [...asked, ['Address of DFS2', interrupt]],
    'dfc',
    'init',
    '--output',
    'never.conf',
  )
  t.equal(client.status, 130, client.out)
  const server = await typed(
    [['User', interrupt]],
    'dfs-server',
    'init',
    '--host',
    'localhost',
    'never',
    '10001',
  )
  t.equal(server.status, 256 - 2, 'ended by SIGINT')
  t.notOk(existsSync(join(home, 'never.conf')) || existsSync(join(home, 'never')))
})

t.test('paths are written as systemd and fstab have them', async (t) => {
  const paths = ['/mnt/files', '/', '/mnt/.a-b c', '/.x/y', '/mnt/h\u00e9']
  t.same(paths.map(escapedPath).slice(0, 4), ['mnt-files', '-', 'mnt-.a\\x2db\\x20c', '\\x2ex-y'])
  t.match(
    mountAdvice('/etc/dfs/dfc.conf', '/mnt/a b').join('\n'),
    /\/mnt\/a\\040b fuse\.dfs .*\n.*\n.*dfs-mount@mnt-a\\x20b\.service/,
  )
  if (!isInstalled('systemd-escape')) return
  const words = ['--path', ...paths]
  t.equal(
    paths.map(escapedPath).join(' '),
    execFileSync('systemd-escape', words, { encoding: 'utf8' }).trim(),
  )
})
