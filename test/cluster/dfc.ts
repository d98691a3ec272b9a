/** The command-line client against four real servers, run as a user runs it. */
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  watch,
} from 'node:fs'
import t, { type Test } from 'tap'
import { rotationOf } from '../../src/wire/placement.js'
import { UserOfDfc } from '../fixtures/client.js'
import { outcomeOf } from '../fixtures/outcome.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses, type TestServers } from '../fixtures/servers.js'

const MiB = 1024 * 1024
const done = { status: 0, out: '', problems: '' }
const failed = (problems: string) => ({ status: 1, out: '', problems: `${problems}\n` })

t.setTimeout(600_000)
const servers: TestServers = await startServerProcesses(t)
const home = t.testdirName
const alice = new UserOfDfc(`${home}/alice`, servers.config())
const bob = new UserOfDfc(`${home}/bob`, servers.config('bob'))
const random = new Seeded(1)

/** Some bytes whose MD5 gives the wanted rotation. */
function contentOf(rotation: number, length: number): Buffer {
  for (;;) {
    const bytes = random.bytes(length)
    if (rotationOf(md5Of(bytes)) === rotation) return bytes
  }
}

function md5Of(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}

/** Puts files, gets them back in a folder of their own, and compares. */
async function roundTrip(t: Test, contents: Readonly<Record<string, Buffer>>): Promise<void> {
  const names = Object.keys(contents)
  for (const name of names) alice.write(name, contents[name] ?? '')
  t.same(await alice.dfc('put', ...names, '/'), done, 'all are put')
  const back = alice.path('round-trip')
  mkdirSync(back)
  t.same(await alice.dfc('get', ...names, 'round-trip'), done, 'all are got')
  for (const name of names) {
    t.ok(readFileSync(`${back}/${name}`).equals(contents[name] ?? Buffer.alloc(0)), name)
  }
  rmSync(back, { recursive: true })
}

t.test('a new account is empty', async (t) => {
  t.same(await alice.dfc('list'), done)
  t.same(await alice.dfc('LIST', '--json'), { status: 0, out: '[]\n', problems: '' })
})

t.test('files of 0 to 9 bytes come back as they were', async (t) => {
  const lengths = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  const contents = lengths.map((length) => [`size-${length}`, random.bytes(length)] as const)
  await roundTrip(t, Object.fromEntries(contents))
  t.same(await alice.dfc('rm', ...contents.map(([name]) => name)), done)
})

t.test('files inside and beyond a commit, and of several segments, come back', async (t) => {
  const lengths = [262_143, 262_145, 3 * MiB + 2, 32 * MiB, 65 * MiB + 7]
  const contents = lengths.map((length) => [`size-${length}`, random.bytes(length)] as const)
  await roundTrip(t, Object.fromEntries(contents))
  t.same(await alice.dfc('rm', ...contents.map(([name]) => name)), done)
})

t.test('every rotation puts the pieces where the table says, and INFO tells it', async (t) => {
  const table = ['DFS1 DFS4', 'DFS1 DFS2', 'DFS2 DFS3', 'DFS3 DFS4']
  const contents = [0, 1, 2, 3].map((rotation) => contentOf(rotation, 4003 + rotation))
  await roundTrip(
    t,
    Object.fromEntries(contents.map((content, rotation) => [`rotation-${rotation}`, content])),
  )
  for (const [rotation, content] of contents.entries()) {
    const name = `rotation-${rotation}`
    const { out, status } = await alice.dfc('info', name)
    t.equal(status, 0)
    t.match(out, `MD5      ${md5Of(content)}\n`)
    t.match(out, `length ${content.length}, MD5 ${md5Of(content)}, rotation ${rotation}\n`)
    for (const piece of [1, 2, 3, 4]) {
      const holders = table[(piece - 1 + rotation) % 4] ?? ''
      t.match(out, new RegExp(`P${piece} 100[012] bytes ${holders}\n`), `piece ${piece}`)
    }
  }
})

t.test('a file keeps its mode and its time to the nanosecond', async (t) => {
  alice.write('timed', 'x')
  chmodSync(alice.path('timed'), 0o640)
  await alice.sh("touch -d '2001-02-03 04:05:06.123456789' timed")
  t.same(await alice.dfc('put', 'timed'), done)
  t.same(await alice.dfc('get', 'timed', 'timed-back'), done)
  const back = statSync(alice.path('timed-back'), { bigint: true })
  t.equal(back.mtimeNs, 981_173_106_123_456_789n)
  t.equal(Number(back.mode) & 0o7777, 0o640)
  const { out } = await alice.dfc('list', '-l', 'timed')
  t.match(out, /^-rw-r----- 1 \S+ +\S+ +1 Feb {2}3 {2}2001 timed\n$/)
})

t.test('a target that cannot be is named', async (t) => {
  alice.write('one', '1')
  t.same(
    await alice.dfc('put', 'one', 'nosuch/one'),
    failed('dfc: nosuch/one: No such file or directory'),
  )
  t.same(await alice.dfc('put', 'one', '/'), done)
  t.same(await alice.dfc('put', 'one', 'one/x'), failed('dfc: one/x: Not a directory'))
  t.same(await alice.dfc('mv', 'one', 'nosuch/one'), {
    ...failed('dfc: nosuch/one: No such file or directory'),
  })
  t.same(await alice.dfc('rm', 'one'), done)
})

t.test('a name that is not UTF-8 is taken, put and got as its bytes', async (t) => {
  const outcome =
    await alice.sh(`n=$(printf 'a\\377'); mkdir "$n"; echo x > "$n/$n"; ln -s "$n" "$n/l"
    $DFC put -r "$n" && $DFC mv "$n/$n" "b$n" && $DFC list | grep -c "b$n" && $DFC get "b$n" "$n/c" &&
    $DFC get -r "$n" got && cat "$n/c" && readlink got/l | od -An -c | tr -d ' '; $DFC list --json "$n" | grep -o '"a.*61ff"'; $DFC rm -r "b$n" "$n"; rm -r got "$n"`)
  t.same(outcome, {
    status: 0,
    out: '1\nx\na377\\n\n"a\\\\xff","targetBytes":"61ff"\n',
    problems: '',
  })
  t.same(await alice.dfc('mkdir', 'a\ufffd'), done, 'the character itself is a name like any other')
  t.same(await alice.dfc('rm', '-r', 'a\ufffd'), done)
})

t.test('put replaces a file, and a changed file is never stored', async (t) => {
  alice.write('changing', 'before')
  t.same(await alice.dfc('put', 'changing'), done)
  alice.write('changing', random.bytes(40 * MiB))
  const putting = alice.start(['put', 'changing'])
  const growing = setInterval(() => appendFileSync(alice.path('changing'), 'more'), 1)
  const outcome = await outcomeOf(putting)
  clearInterval(growing)
  t.equal(outcome.status, 1)
  t.match(outcome.problems, /^dfc: changing: .* while it was being read; nothing was stored\n$/)
  t.same(await alice.dfc('get', 'changing', 'back'), done)
  t.equal(readFileSync(alice.path('back'), 'utf8'), 'before')
  t.same(await alice.dfc('put', 'vanished'), failed('dfc: vanished: No such file or directory'))
})

t.test('targets are decided as cp does', async (t) => {
  for (const name of ['one', 'two']) alice.write(name, name)
  t.same(await alice.dfc('mkdir', 'box'), done)
  t.same(await alice.dfc('put', 'one', 'two', 'box'), done)
  t.same(await alice.dfc('put', 'one', 'box/three'), done)
  t.equal((await alice.dfc('list', 'box')).out, 'one\nthree\ntwo\n')
  t.same(await alice.dfc('put', 'one', 'two', 'nowhere'), failed('dfc: nowhere: Not a directory'))
  mkdirSync(alice.path('here'))
  t.same(await alice.dfc('get', 'box/one', 'box/two', 'here'), done)
  t.same(readdirSync(alice.path('here')), ['one', 'two'])
  t.same(await alice.dfc('get', 'box/three'), done)
  t.equal(readFileSync(alice.path('three'), 'utf8'), 'one')
})

t.test('names are made, moved and removed', async (t) => {
  t.same(await alice.dfc('mkdir', 'box'), failed('dfc: box: File exists'))
  t.same(await alice.dfc('mkdir', '-p', 'box/a/b'), done)
  t.same(await alice.dfc('mv', 'box/one', 'box/two', 'box/a'), done)
  t.same(await alice.dfc('mv', 'box/a/one', 'box/a/uno'), done)
  t.equal((await alice.dfc('list', 'box/a')).out, 'b\ntwo\nuno\n')
  t.same(
    await alice.dfc('mv', 'box', 'box/a'),
    failed('dfc: box: Invalid argument'),
    'a folder does not go into itself',
  )
  t.same(await alice.dfc('rm', 'box'), failed('dfc: box: Is a directory (rm -r removes folders)'))
  t.same(await alice.dfc('rm', 'box/a/two/'), failed('dfc: box/a/two/: Not a directory'))
  for (const path of ['box/a/..', 'box/.', '.', 'box/../']) {
    const refused = '"." and ".." are not removed: name the folder itself'
    t.same(await alice.dfc('rm', '-r', path), failed(`dfc: ${path}: ${refused}`))
  }
  t.equal((await alice.dfc('list', 'box/a')).out, 'b\ntwo\nuno\n')
  t.same(await alice.dfc('rm', '-r', 'box'), done)
  t.same(await alice.dfc('list', 'box'), failed('dfc: box: No such file or directory'))
  t.same(await alice.dfc('rm', 'box'), failed('dfc: box: No such file or directory'))
  t.same(await alice.dfc('rm', '-f', 'box'), done)
})

t.test('folders travel with their modes, times and links', async (t) => {
  mkdirSync(alice.path('tree/sub/deep'), { recursive: true })
  alice.write('tree/file', 'content')
  alice.write('tree/sub/two words', '')
  symlinkSync('../file', alice.path('tree/sub/link'))
  symlinkSync('/nowhere at all', alice.path('tree/dangling'))
  chmodSync(alice.path('tree/sub'), 0o750)
  chmodSync(alice.path('tree/file'), 0o444)
  for (const name of ['file', 'sub/deep', 'sub']) utimesSync(alice.path(`tree/${name}`), 1, 1e9)
  await alice.sh("touch -d '1969-12-31 23:59:58.999999999' tree")
  t.same(await alice.dfc('put', '-r', 'tree'), done)
  t.same(await alice.dfc('get', '-r', 'tree', 'tree-back'), done)
  const look = "find . -printf '%p %y %m %T@ %l\\n' | sort"
  const before = await alice.sh(`cd tree && ${look}`)
  const after = await alice.sh(`cd tree-back && ${look}`)
  t.equal(after.out, before.out)
  t.match(
    await alice.dfc('put', 'tree'),
    failed('dfc: tree: Is a directory (put -r takes folders)'),
  )
  t.match(
    await alice.dfc('get', 'tree'),
    failed('dfc: tree: Is a directory (get -r takes folders)'),
  )
  t.same(await alice.dfc('get', 'tree/sub/link', 'back'), done)
  t.equal(
    readFileSync(alice.path('back'), 'utf8'),
    'content',
    'a link named by the user is followed',
  )
})

t.test('get writes to standard output when told to', async (t) => {
  t.same(
    await alice.sh('{ echo before; $DFC get tree/file /dev/stdout; echo " after"; } > piped'),
    done,
  )
  t.equal(readFileSync(alice.path('piped'), 'utf8'), 'before\ncontent after\n')
  t.equal((await alice.sh('$DFC get tree/file /dev/stdout | cat')).out, 'content')
})

t.test('the prompt understands the classic operations and goes on after an error', async (t) => {
  alice.write('two words', 'hello')
  const { status, out, problems } = await alice.type(
    'PUT "two words" classic',
    'put nothing',
    'frobnicate',
    'GET classic got\\ it',
    'LIST /',
    'EXIT',
    'LIST /tree',
  )
  t.equal(status, 1, 'a script in which an operation failed')
  t.equal(problems, '')
  t.match(out, /^nothing: No such file or directory\nunknown operation 'frobnicate': try HELP\n/)
  t.match(out, /\nclassic\n/)
  t.notMatch(out, /dangling/, 'nothing is done after EXIT')
  t.equal(readFileSync(alice.path('got it'), 'utf8'), 'hello')
  t.same(await alice.type('rm classic'), done, 'the end of the input is EXIT')
})

t.test('wrong words are told with the exit status 2', async (t) => {
  const wrong = { status: 2, out: '' }
  t.match(await alice.dfc('frobnicate'), {
    ...wrong,
    problems: /^dfc: unknown operation [^\n]+\n$/,
  })
  t.match(await alice.dfc('put'), {
    ...wrong,
    problems: 'dfc: too few operands: put takes FILE... [REMOTE]\n',
  })
  t.match(await alice.dfc('list', '--nope'), {
    ...wrong,
    problems: /^dfc: unknown option '--nope'\n$/,
  })
})

t.test('a mistake in the configuration is told with its line', async (t) => {
  alice.write('bad.conf', 'user = "alice"\npassword = 7\n')
  t.same(
    await alice.dfc('--config', 'bad.conf', 'list'),
    failed(
      "dfc: bad.conf:2: password: expected a text here or in the environment's DFC_PASSWORD, got a number",
    ),
  )
})

t.test('each user sees only their own files', async (t) => {
  t.same(await bob.dfc('list'), done)
  bob.write('rotation-0', "bob's")
  t.same(await bob.dfc('put', 'rotation-0'), done)
  t.equal((await bob.dfc('list')).out, 'rotation-0\n')
  t.same(await bob.dfc('get', 'timed'), failed('dfc: timed: No such file or directory'))
  t.same(await alice.dfc('get', 'rotation-0', 'back'), done)
  t.not(readFileSync(alice.path('back'), 'utf8'), "bob's")
})

t.test('a wrong password is refused in the words of the classic client', async (t) => {
  const stranger = new UserOfDfc(`${home}/stranger`, { ...servers.config(), password: 'wrong' })
  const refused = failed('Invalid Username/Password. Please try again.')
  t.same(await stranger.dfc('list'), refused)
  t.same(await stranger.dfc('status'), refused)
  t.same(await stranger.type('LIST'), { ...refused, problems: '', out: refused.problems })
  const nobody = new UserOfDfc(`${home}/nobody`, { ...servers.config(), user: 'nobody' })
  t.same(await nobody.dfc('list'), refused)
})

t.test('a get that is interrupted leaves nothing behind', async (t) => {
  alice.write('large', random.bytes(64 * MiB))
  t.same(await alice.dfc('put', 'large'), done)
  mkdirSync(alice.path('empty'))
  const watcher = watch(alice.path('empty'))
  const getting = alice.start(['get', 'large', 'empty'])
  watcher.once('change', () => getting.kill('SIGINT'))
  const outcome = await outcomeOf(getting)
  watcher.close()
  t.match(outcome, { status: 130, out: '', problems: /^dfc: Interrupted: nothing is left/ })
  t.same(readdirSync(alice.path('empty')), [])
  t.same(await alice.dfc('rm', 'large'), done)
  unlinkSync(alice.path('large'))
})

t.test('a reader that goes away ends the program quietly', async (t) => {
  const { status, problems } = await alice.sh(
    '{ $DFC list -l; echo "$?" >&3; } 3>status | { exec 0<&-; sleep 1; }',
  )
  t.equal(status, 0)
  t.equal(problems, '')
  t.equal(readFileSync(alice.path('status'), 'utf8'), '141\n')
})

t.test('STATUS knows that all servers are up', async (t) => {
  const { status, out } = await alice.dfc('status')
  t.equal(status, 0)
  for (const name of ['DFS1', 'DFS2', 'DFS3', 'DFS4'])
    t.match(out, new RegExp(`^${name} +\\S+ up `, 'm'))
  t.match(out, /All four servers are up and complete\.\n$/)
})

t.test('with one server killed everything goes on', async (t) => {
  await servers.kill(1)
  await roundTrip(t, { degraded: random.bytes(300_001) })
  t.same(await alice.dfc('get', 'rotation-2', 'back'), done)
  t.notMatch((await alice.dfc('list')).out, 'incomplete')
  const { status, out } = await alice.dfc('status')
  t.equal(status, 2)
  t.match(out, /^DFS2 is down: /m)
  t.match((await alice.dfc('info', 'rotation-0')).out, /P2 \d+ bytes DFS1 \(DFS2: down\)\n/)
  await servers.start(1)
})

t.test('a server that comes back is brought up to date by HEAL', async (t) => {
  t.match((await alice.dfc('info', 'degraded')).out, '(DFS2: missing)')
  const { status, out } = await alice.dfc('heal')
  t.match(out, /^\d+ registers and [1-9]\d* pieces copied, [1-9]\d* pieces dropped$/m)
  t.match(out, /^All four servers agree: 0 left$/m)
  t.equal(status, 0)
  t.notMatch((await alice.dfc('info', 'degraded')).out, 'missing')
  t.equal((await alice.dfc('status')).status, 0)
  const all = await alice.dfc('heal', '--thorough')
  t.match(all, {
    status: 0,
    out: /^0 registers and 0 pieces copied, 0 pieces dropped\n.*0 left\n$/,
  })
})

t.test('with two opposite servers killed everything is read and nothing changed', async (t) => {
  await servers.kill(0, 2)
  for (const rotation of [0, 1, 2, 3]) {
    t.same(await alice.dfc('get', `rotation-${rotation}`, 'back'), done)
    const original = readFileSync(alice.path(`rotation-${rotation}`))
    t.ok(readFileSync(alice.path('back')).equals(original))
  }
  t.notMatch((await alice.dfc('list')).out, /^rotation.*incomplete/m)
  const refused = 'Read-only until a third server is back'
  t.same(await alice.dfc('put', 'one'), failed(`dfc: one: ${refused}`))
  t.same(await alice.dfc('mkdir', 'new'), failed(`dfc: new: ${refused}`))
  t.same(await alice.dfc('rm', 'timed'), failed(`dfc: timed: ${refused}`))
  await Promise.all([servers.start(0), servers.start(2)])
})

t.test('with two neighbours killed files are incomplete', async (t) => {
  await servers.kill(2, 3)
  const { status, out } = await alice.dfc('list')
  t.equal(status, 0)
  t.match(out, /^rotation-0 \[incomplete\]$/m)
  t.match(out, /^rotation-3 \[incomplete\]$/m)
  t.match(out, /^tree$/m, 'a folder has no pieces')
  const before = readdirSync(alice.path('here'))
  t.same(await alice.dfc('get', 'rotation-1', 'here'), failed('File is incomplete'))
  t.same(
    await alice.dfc('get', 'rotation-1', 'rotation-2', 'here'),
    failed('dfc: rotation-1: File is incomplete\ndfc: rotation-2: File is incomplete'),
  )
  t.same(readdirSync(alice.path('here')), before, 'nothing is written')
  t.equal((await alice.type('GET rotation-1 nope')).out, 'File is incomplete\n')
  t.notOk(existsSync(alice.path('nope')))
  const listed = JSON.parse((await alice.dfc('list', '--json')).out) as { incomplete: boolean }[]
  t.ok(listed.some(({ incomplete }) => incomplete))
})

t.test('one server is enough to list', async (t) => {
  await servers.kill(1)
  const { status, out, problems } = await alice.dfc('list')
  t.equal(status, 0)
  t.match(out, /^rotation-0 \[incomplete\]$/m)
  t.equal(problems, '')
})

t.test('without any server each operation says so', async (t) => {
  await servers.kill(0)
  t.same(await alice.dfc('list'), failed('dfc: /: no server answers'))
  const { status, out } = await alice.dfc('status')
  t.equal(status, 2)
  t.match(out, /No server: nothing can be done\.\n$/)
})
