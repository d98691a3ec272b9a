/** Tests of put, get and sync of many files and of streams: the program dfc, real servers. */
import { once } from 'node:events'
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
} from 'node:fs'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { systemRandom } from '../../src/clock.js'
import { attribute } from '../fixtures/attributes.js'
import { UserOfDfc } from '../fixtures/client.js'
import { MessageProxies } from '../fixtures/message-proxies.js'
import { startServers, until } from '../fixtures/servers.js'

const MiB = 1024 * 1024
const done = { status: 0, out: '', problems: '' }

t.setTimeout(600_000)
const servers = await startServers(t)
const proxies = await MessageProxies.open(t, servers)
const alice = new UserOfDfc(`${t.testdirName}/alice`, proxies.config('alice', 10_000))

/** The names in a local folder and below it, with the contents of files. */
function tree(path: string, inside = ''): Record<string, string> {
  const found: Record<string, string> = {}
  for (const entry of readdirSync(alice.path(path), { withFileTypes: true })) {
    const name = `${inside}${entry.name}`
    if (entry.isDirectory()) Object.assign(found, tree(`${path}/${entry.name}`, `${name}/`))
    else if (entry.isFile()) found[name] = readFileSync(alice.path(`${path}/${entry.name}`), 'utf8')
    else found[name] = 'neither'
  }
  return found
}

/** What is on the servers, fetched anew. */
async function fetched(name: string): Promise<Record<string, string>> {
  rmSync(alice.path('fetched'), { recursive: true, force: true })
  t.match(await alice.dfc('get', '-r', name, 'fetched'), { status: 0 })
  return tree('fetched')
}

function make(path: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(alice.path(path), { recursive: true })
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(alice.path(`${path}/${name}/..`), { recursive: true })
    alice.write(`${path}/${name}`, content)
  }
}

t.test('streams go in and out', async (t) => {
  const line = 'head -c 80000000 /dev/zero | $DFC put - zeros && $DFC get zeros - | cksum'
  const { out } = await alice.sh(`${line}; head -c 80000000 /dev/zero | cksum`)
  const [got, expected] = out.trim().split('\n')
  t.equal(got, expected)
  t.match(await alice.sh('echo small | $DFC put - small; $DFC get small -'), { out: 'small\n' })
  t.match(await alice.sh(': | $DFC put - none; $DFC get none - | wc -c'), { out: '0\n' })
})

t.test('a stream that fails or is interrupted leaves no name', async (t) => {
  const line = '$DFC put --from-command half -- sh -c "head -c 70000000 /dev/zero; exit 3"'
  t.match(await alice.sh(line), {
    status: 1,
    problems: 'dfc: half: sh ended with status 3; nothing was stored\n',
  })
  t.match(await alice.sh('$DFC put - half <.'), { status: 1, problems: /half: .*directory/ })
  const child = alice.start(['put', '-', 'half'])
  child.stdin?.write(Buffer.alloc(40 * MiB))
  await once(child.stdin ?? child, 'drain')
  child.kill('SIGINT')
  const [status] = await once(child, 'exit')
  t.equal(status, 130)
  t.match(await alice.dfc('list', 'half'), { status: 1, problems: /No such file/ })
  t.match(await alice.dfc('put', '--from-command', 'f', '--', 'sh', '-c', 'echo whole'), done)
  t.match(await alice.dfc('get', 'f', '-'), { out: 'whole\n' })
  t.match(await alice.dfc('put', '--from-command', 'f', '--', 'no-such-program'), {
    status: 1,
    problems: /no-such-program cannot be started/,
  })
})

t.test('says what a stream cannot be', async (t) => {
  mkdirSync(alice.path('folder'))
  t.same(await alice.dfc('put', '-r', 'folder'), done)
  for (const [words, problem] of [
    [['put', '-'], /"-" stands alone/],
    [['put', '--skip-same', '-', 'x'], /takes no option but --stats/],
    [['put', '--from-command', 'x'], /takes REMOTE and a program/],
    [['get', 'f', 'small', '-'], /"-" takes one file/],
    [['get', '-r', 'folder', '-'], /is about a stream, and takes no option/],
    [['get', '--at', '1h', '--resume', 'f'], /goes with no other option/],
    [
      ['get', '-r', '--at', '1h', 'folder'],
      /^dfc: --at fetches files, not folders: renames are not/,
    ],
  ] as const) {
    t.match(await alice.dfc(...words), { status: 2, problems: problem })
  }
  for (const [words, problem] of [
    [['put', '-', 'folder'], /a stream needs a name/],
    [['get', 'folder', '-'], /Is a directory/],
  ] as const) {
    t.match(await alice.dfc(...words), { status: 1, problems: problem })
  }
  t.match(await alice.type('put - x'), { status: 1, out: /the prompt reads standard input itself/ })
})

t.test('a closed input stores nothing, and a closed output is no success', async (t) => {
  alice.write('closed', 'precious')
  t.match(await alice.sh('$DFC put closed >&- <&-'), { status: 0, problems: '' })
  const input = await alice.sh('$DFC put - closed <&-')
  t.match(input, { status: 1, problems: 'dfc: closed: standard input is closed, or not open' })
  t.match(await alice.sh('$DFC <&-'), {
    status: 1,
    out: 'standard input is closed, or not open for reading\n',
  })
  const script = "printf 'LIST closed\\nPUT closed caf\\351\\nLIST caf\\351' | $DFC | od -c -A n"
  t.match((await alice.sh(script)).out, /c +a +f +351 +\\n\n$/)
  const output = await alice.sh('$DFC get closed - >&-')
  t.match(output, { status: 1, problems: 'dfc: standard output is closed, or not open' })
  const list = await alice.sh('$DFC list >&-')
  t.match(list, { status: 1, problems: 'dfc: standard output is closed, or not open' })
  t.match(await alice.sh('$DFC get closed - <&-'), { status: 0, out: 'precious' })
  t.match(await alice.sh('$DFC put - closed </dev/null'), { status: 0 })
  t.match(await alice.sh('$DFC get closed - >/dev/null'), { status: 0, problems: '' })
})

t.test('a pipe without a reader can be left, and gets all when it has one', async (t) => {
  await alice.sh('mkfifo pipe')
  const lookups = proxies.counter('lookup')
  const child = alice.start(['get', '-r', 'f', 'pipe'])
  await until(() => lookups() > 0, 20_000)
  await sleep(500)
  child.kill('SIGTERM')
  const [status] = await once(child, 'exit')
  t.equal(status, 143)
  const { out } = await alice.sh('$DFC get zeros pipe & sleep 0.3; wc -c <pipe; wait')
  t.equal(out.trim(), '80000000')
})

t.test('files that are the same are skipped', async (t) => {
  make('same', { a: 'one', 'b/c': 'two' })
  t.match(await alice.dfc('put', '-r', '--stats', 'same'), {
    problems: /^2 files, 6 B .* 0 skipped/,
  })
  const again = await alice.dfc('put', '-r', '--skip-same', '--stats', 'same')
  t.match(again, { problems: /^0 files, 0 B .* 2 skipped, 0 failed/ })
  const { mtime } = statSync(alice.path('same/a'))
  alice.write('same/a', 'neu')
  utimesSync(alice.path('same/a'), mtime, mtime)
  t.match(await alice.dfc('get', '-r', 'same', 'copy'), done)
  t.match(await alice.dfc('put', '-r', '--checksum', '--stats', 'same'), {
    problems: /^1 file, 3 B .* 1 skipped/,
  })
  utimesSync(alice.path('same/b/c'), 5, 5)
  const touched = await alice.dfc('put', '-r', '--checksum', '--stats', 'same')
  t.match(touched, { problems: /^0 files, 0 B .* 2 skipped/ })
  const got = await alice.dfc('get', '-r', '--checksum', '--stats', 'same/.', 'copy')
  t.match(got, { problems: /^1 file, 3 B .* 1 skipped/ })
  t.same(tree('copy'), tree('same'))
  t.equal(statSync(alice.path('copy/b/c')).mtimeMs, 5000, 'what is skipped gets its time')
})

t.test('patterns say what is transferred', async (t) => {
  make('sieve', {
    'a.c': '',
    'a.o': '',
    'sub/b.c': '',
    'sub/b.o': '',
    'build/x': '',
    'sub/build/y': '',
  })
  t.match(await alice.dfc('put', '-r', '--exclude', '*.o', '--exclude', '/build', 'sieve'), done)
  t.same(Object.keys(await fetched('sieve')).sort(), ['a.c', 'sub/b.c', 'sub/build/y'])
  t.match(await alice.dfc('get', '-r', '--include', 'b.*', 'sieve', 'sifted'), done)
  t.same(Object.keys(tree('sifted')), ['sub/b.c'])
  t.match(await alice.dfc('put', '-r', '--exclude', '/', 'sieve'), {
    status: 2,
    problems: /--exclude '\/' matches nothing/,
  })
})

t.test('sync makes one folder like the other, both ways', async (t) => {
  make('up', { a: '1', 'b/c': '2', 'b/d': '3', keep: 'k' })
  symlinkSync('a', alice.path('up/link'))
  t.match(await alice.dfc('sync', '--up', 'up', 'synced'), { status: 0, problems: /^5 files/ })
  t.match(await alice.dfc('sync', '--up', 'up', 'synced'), { problems: /^0 files.* 5 skipped/ })
  rmSync(alice.path('up/b'), { recursive: true })
  alice.write('up/b', 'now a file')
  rmSync(alice.path('up/keep'))
  mkdirSync(alice.path('up/a2'))
  const before = await fetched('synced')
  const options = ['--delete', '--exclude', 'keep'] as const
  const dry = await alice.dfc('sync', '--up', '-n', '--delete', 'up', 'synced')
  t.same(dry.out.trim().split('\n').sort(), [
    'delete synced/b/',
    'delete synced/b/c',
    'delete synced/b/d',
    'delete synced/keep',
    'make up/a2/',
    'put up/b',
  ])
  t.same(await fetched('synced'), before, 'a dry run changes nothing')
  t.match(await alice.dfc('sync', '--up', ...options, 'up', 'synced'), { status: 0 })
  t.same(await fetched('synced'), { ...tree('up'), keep: 'k' }, 'what is left out is not deleted')
  make('down', { b: 'x', 'old/er': 'y', 'link/is': 'a folder' })
  t.match(await alice.dfc('sync', '--down', '--delete', '-n', 'synced', 'down'), {
    status: 0,
    out: /delete down\/old\/er\n/,
  })
  t.ok(existsSync(alice.path('down/old/er')))
  t.match(await alice.dfc('sync', '--down', '--delete', 'synced', 'down'), { status: 0 })
  t.same(tree('down'), await fetched('synced'))
  t.match(await alice.dfc('sync', '--down', '--delete', 'synced', 'down'), { problems: /^0 files/ })
})

t.test('sync deletes nothing when the source is not there, is empty, or fails', async (t) => {
  make('safe', { a: '1', b: '2' })
  t.match(await alice.dfc('sync', '--up', 'safe', 'safe'), { status: 0 })
  for (const way of ['--up', '--down']) {
    t.match(await alice.dfc('sync', way, '--delete', 'nowhere', 'safe'), {
      status: 1,
      problems: /nowhere: No such file/,
    })
  }
  mkdirSync(alice.path('empty'))
  t.match(await alice.dfc('sync', '--up', '--delete', 'empty', 'safe'), {
    status: 1,
    problems: /empty: is empty.* nothing was deleted/,
  })
  await alice.sh('mkfifo partly; mkdir part; mv partly part/pipe; echo 3 >part/c')
  t.match(await alice.dfc('sync', '--up', '--delete', 'part', 'safe'), {
    status: 1,
    problems: /part\/pipe: neither a file/,
  })
  t.same(await fetched('safe'), { a: '1', b: '2', c: '3\n' })
  t.match(await alice.dfc('sync', 'safe', 'safe'), { status: 2, problems: /say which way/ })
})

t.test('files that were one stay one, and files that were not are not made one', async (t) => {
  make('links', { a: 'shared', c: 'alone' })
  linkSync(alice.path('links/a'), alice.path('links/b'))
  t.match(await alice.dfc('sync', '--up', 'links', 'links'), { status: 0 })
  t.match(await alice.dfc('get', '-r', 'links', 'linked'), done)
  const number = (path: string): number => lstatSync(alice.path(path)).ino
  t.equal(number('linked/a'), number('linked/b'))
  rmSync(alice.path('links/b'))
  make('links', { a: 'changed', b: 'apart' })
  t.match(await alice.dfc('sync', '--up', 'links', 'links'), { status: 0 })
  t.same(await fetched('links'), { a: 'changed', b: 'apart', c: 'alone' })
  t.match(await alice.dfc('sync', '--down', 'links', 'linked'), { status: 0 })
  t.same(tree('linked'), { a: 'changed', b: 'apart', c: 'alone' })
})

t.test('holes are kept, in both directions', async (t) => {
  mkdirSync(alice.path('sparse'))
  alice.write('sparse/file', 'begin')
  truncateSync(alice.path('sparse/file'), 500 * MiB)
  await alice.sh('printf end >>sparse/file; cp --sparse=always sparse/file sparse/other')
  const sent = proxies.counter('putPiece')
  t.match(await alice.dfc('put', '-r', 'sparse'), done)
  t.ok(sent() <= 16, `${sent()} pieces`)
  t.match(await alice.dfc('get', '-r', 'sparse', 'dense'), done)
  t.ok(statSync(alice.path('dense/file')).blocks * 512 < MiB)
  t.match(await alice.sh('cmp sparse/file dense/file'), done)
  t.match(await alice.sh('$DFC get sparse/file - | cmp - sparse/file'), done)
})

t.test('a file that is too large fails before anything is sent', async (t) => {
  mkdirSync(alice.path('vast'))
  alice.write('vast/file', Buffer.alloc(33 * MiB, 'x'))
  truncateSync(alice.path('vast/file'), 257 * 1024 * MiB)
  const sent = proxies.counter('putPiece')
  const problems = 'dfc: vast/file: File too large: a file has at most 256 GiB\n'
  t.match(await alice.dfc('put', '-r', 'vast'), { status: 1, problems })
  t.match(await alice.dfc('sync', '--up', '-n', 'vast', 'vast'), { status: 1, out: '', problems })
  t.equal(sent(), 0)
})

t.test('as root, owners are kept; set-user-ID bits are named, and are not', async (t) => {
  if (process.getuid?.() !== 0) return t.comment('not root')
  make('owned', { 'sub/file': 'x', other: 'y' })
  symlinkSync('other', alice.path('owned/link'))
  await alice.sh('chown -hR 1234:2345 owned; chmod 4755 owned/other; chmod 2775 owned/sub')
  t.match(await alice.dfc('put', '-r', 'owned'), done)
  const { status, problems } = await alice.dfc('get', '-r', 'owned', 'again')
  t.equal(status, 0)
  t.match(problems, /^dfc: owned\/other: its set-user-ID and set-group-ID bits are not kept.*\n$/)
  const owners = async (path: string): Promise<string> =>
    (await alice.sh(`cd ${path}; find . -exec stat -c '%n %u:%g' {} + | sort`)).out
  t.equal(await owners('again'), await owners('owned'))
  t.equal(statSync(alice.path('again/other')).mode & 0o7777, 0o755)
  t.equal(statSync(alice.path('again/sub')).mode & 0o7777, 0o2775, 'a folder keeps its bit')
  await alice.sh('chown 77:88 owned/sub owned/other')
  t.match(await alice.dfc('sync', '--up', 'owned', 'owned'), { problems: /3 skipped/ })
  t.match(await alice.dfc('sync', '--down', 'owned', 'again'), { problems: /3 skipped/ })
  t.equal(await owners('again'), await owners('owned'))
  await alice.sh('echo changed >owned/other; chown 6666:7777 owned/other')
  t.match(await alice.dfc('put', '-r', 'owned'), done)
  t.match(await alice.dfc('list', '-l', 'owned'), { out: /6666 +7777 +8 .* other/ })
})

t.test('attributes are kept', async (t) => {
  make('attributes', { file: 'x' })
  const set = await alice.sh(
    `${attribute} set attributes/file user.kind good && ${attribute} set attributes user.f 1`,
  )
  if (set.status === constants.errno.EOPNOTSUPP) {
    t.pass('attributes', { skip: 'the file system of this folder has no attributes' })
    return
  }
  t.match(set, done)
  t.match(await alice.dfc('put', '-r', 'attributes'), done)
  t.match(await alice.dfc('get', '-r', 'attributes', 'with'), done)
  t.match(await alice.sh(`${attribute} get with/file user.kind`), { out: 'good' })
  t.match(await alice.sh(`${attribute} get with user.f`), { out: '1' })
  await alice.sh(`${attribute} remove attributes/file user.kind`)
  t.match(await alice.dfc('sync', '--up', 'attributes', 'attributes'), { problems: /1 skipped/ })
  t.match(await alice.dfc('sync', '--down', 'attributes', 'with'), { problems: /1 skipped/ })
  t.match(await alice.sh(`${attribute} get with/file user.kind`), {
    status: constants.errno.ENODATA,
  })
})

/** Runs `action` while each part of a piece takes `ms` longer to be stored, so that it takes some seconds. */
async function slowly<T>(
  ms: number,
  action: () => Promise<T>,
  what: 'putPiece' | 'commit' = 'putPiece',
): Promise<T> {
  let isSlow = true
  proxies.watch(async ({ verb, isAnswer }) => {
    if (isSlow && verb === what && isAnswer) await sleep(ms)
  })
  try {
    return await action()
  } finally {
    isSlow = false
  }
}

t.test('on a terminal a percentage is shown once everything is counted, and grows', async (t) => {
  mkdirSync(alice.path('漢字 の フォルダ'))
  for (const name of ['一', '二']) {
    alice.write(`漢字 の フォルダ/${name}.bin`, systemRandom.bytes(96 * MiB))
  }
  const words = ['put', '-r', '漢字 の フォルダ', 'slow']
  const { out, status } = await slowly(60, () => alice.onTerminal(...words))
  t.equal(status, 0, out)
  const shown = [...out.matchAll(/(\d+)% {2}[\d.]+ \w+ of 192 MiB {2}\d of 2 files/g)]
  const percents = shown.map(([, percent]) => Number(percent))
  t.ok(percents.length > 3, `${percents}`)
  t.ok((percents[0] ?? 100) < 80, `begins with ${percents[0]}`)
  t.same(
    percents,
    percents.toSorted((a, b) => a - b),
  )
  t.match(out, /二\.bin +\[[#-]{20}\] +\d+% /)
  t.match(out, /2 files, 192 MiB in \d+(\.\d)? s \([\d.]+ MiB\/s\); 0 skipped, 0 failed/)
})

t.test('holes, and files that cannot be stored, are no part of what is left', async (t) => {
  mkdirSync(alice.path('rest'))
  alice.write('rest/b', systemRandom.bytes(96 * MiB))
  await alice.sh('truncate -s 20G rest/c; mkfifo rest/a; mkdir rest/d; echo x >rest/d/x')
  const { out } = await slowly(500, () => alice.onTerminal('put', '-r', 'nowhere', 'rest', '/'))
  const shown = [...out.matchAll(/(\d+)% {2}[\d.]+ \w+ of 96 MiB {2}\d of [34] files/g)]
  t.ok(shown.length > 3, out)
  t.ok(Number(shown.at(-1)?.[1]) > 60, `ends with ${shown.at(-1)}`)
  t.match(out, /3 files, 96 MiB in .* 0 skipped, 2 failed/)
})

t.test(
  'on a narrow terminal the percentage is seen, and on a dumb one no bars are drawn',
  async (t) => {
    const line = 'script -qec "stty cols 20; $DFC put rest/b" /dev/null </dev/null'
    const narrow = await slowly(500, () => alice.sh(line))
    t.match(narrow.out, /\d+% {2}[\d.]+ MiB of/)
    const usual = await slowly(500, () => alice.sh(line.replace('cols 20', 'cols 80')))
    t.match(usual.out, /\d+% {2}[\d.]+ MiB of 96 MiB {2}0 of 1 file .*\d s left/)
    const dumb = await slowly(500, () => alice.sh(`TERM=dumb ${line}`))
    t.match(dumb, { status: 0, out: '' })
  },
)

t.test('an error about something here names it', async (t) => {
  make('local', { 'b/c': 'x' })
  t.match(await alice.dfc('put', '-r', 'local'), done)
  t.match(await alice.dfc('sync', '--down', 'local', 'no/such'), {
    status: 1,
    problems: 'dfc: local: no/such: No such file or directory\n',
  })
  const full = await alice.sh('$DFC get local/b/c - >/dev/full')
  t.match(full, { status: 1, problems: 'dfc: standard output: No space left on device\n' })
  t.match(await alice.sh('echo | $DFC put - new/'), { problems: 'dfc: new/: Not a directory\n' })
  const { out: part } = await alice.sh('printf .dfc-part-; printf c | sha256sum | cut -c1-24')
  mkdirSync(alice.path('way'))
  symlinkSync('elsewhere', alice.path(`way/${part.trim()}`))
  t.match(await alice.dfc('get', '--resume', 'local/b/c', 'way'), {
    status: 1,
    problems: /way\/c: \.dfc-part-\w+ beside it is in the way/,
  })
  if (process.getuid?.() !== 0) return
  const small = await alice.sh(
    'mkdir small && mount -t tmpfs -o ro none small && { $DFC get -r local small; umount small; }',
  )
  t.match(small.problems, 'dfc: local: small/local: Read-only file system\n')
})

t.test('an interruption says how to go on', async (t) => {
  const ends = async (signal: NodeJS.Signals, ...args: readonly string[]) => {
    const child = alice.start(args)
    let problems = ''
    child.stderr?.on('data', (chunk) => {
      problems += chunk
    })
    const sent = proxies.counter('putPiece')
    const asked = proxies.counter('getPiece')
    await until(() => sent() + asked() > 4, 20_000)
    child.kill(signal)
    const [status] = await once(child, 'close')
    return { status, problems }
  }
  mkdirSync(alice.path('taken'))
  const put = await slowly(500, () => ends('SIGINT', 'put', 'rest/b', 'b2'))
  t.match(put, { status: 130, problems: /^dfc: Interrupted: the same command goes on; .*\n$/ })
  const get = await ends('SIGTERM', 'get', 'rest/b', 'taken')
  t.match(get, { status: 143, problems: /^dfc: Interrupted: nothing is left of .* --resume/ })
  t.same(readdirSync(alice.path('taken')), [])
  const kept = await ends('SIGINT', 'get', '--resume', 'rest/b', 'taken')
  t.match(kept, { status: 130, problems: /what has arrived is kept; the same command goes on/ })
  t.match(readdirSync(alice.path('taken')), [/^\.dfc-part-/])
})

/** Runs an operation until `isFar` says so, and kills it. */
async function killedWhen(args: readonly string[], isFar: () => boolean): Promise<void> {
  const child = alice.start(args)
  const ended = once(child, 'exit')
  await until(() => isFar() || child.exitCode !== null, 30_000)
  child.kill('SIGKILL')
  const [, signal] = await ended
  t.equal(signal, 'SIGKILL')
}

t.test('a put that was killed goes on with what is stored', async (t) => {
  const bytes = systemRandom.bytes(200 * MiB)
  alice.write('large', bytes)
  const sent = proxies.counter('putPiece')
  const noted = (): number => {
    const folder = alice.path('.local/state/dfs/uploads')
    const [record] = existsSync(folder) ? readdirSync(folder) : []
    return record === undefined
      ? 0
      : readFileSync(`${folder}/${record}`, 'utf8').split('\n').length - 1
  }
  await killedWhen(['put', 'large'], () => noted() >= 3)
  t.match(await alice.dfc('list', 'large'), { status: 1, problems: /No such file/ })
  const before = { noted: noted(), sent: sent() }
  const { problems } = await alice.dfc('put', '--stats', 'large')
  const leftBytes = (200 - 32 * before.noted) * MiB
  const frames = (2 * leftBytes) / MiB
  t.ok(sent() - before.sent <= frames + 16, `${sent() - before.sent} frames, ${frames} are needed`)
  t.match(problems, new RegExp(`^1 file, ${leftBytes / MiB} MiB`))
  t.equal(noted(), 0, 'its record is gone')
  t.match(await alice.sh('$DFC get large - | cmp - large'), done)
})

t.test('a get that was killed goes on with what has arrived, if that is right', async (t) => {
  const fetchedParts = proxies.counter('getPiece')
  const part = (): string =>
    readdirSync(alice.path('in')).find((name) => /^\.dfc-part/.test(name)) ?? ''
  mkdirSync(alice.path('in'))
  const arrived = (): number => (part() === '' ? 0 : statSync(alice.path(`in/${part()}`)).size)
  await killedWhen(['get', '--resume', 'large', 'in'], () => arrived() > 100 * MiB)
  t.same(readdirSync(alice.path('in')), [part()])
  const before = fetchedParts()
  t.match(await alice.dfc('get', '--resume', '--stats', 'large', 'in'), {
    problems: /^1 file, (104|72|40|8\.0) MiB/,
  })
  t.ok(fetchedParts() - before <= 104 + 16, `${fetchedParts() - before} parts`)
  t.same(readdirSync(alice.path('in')), ['large'])
  t.match(await alice.sh('cmp in/large large'), done)
  await killedWhen(['get', '--resume', 'large', 'in'], () => arrived() > 100 * MiB)
  await alice.sh(`printf wrong | dd of=in/${part()} bs=1 seek=50000000 conv=notrunc 2>/dev/null`)
  t.match(await alice.dfc('get', '--resume', '--stats', 'large', 'in'), {
    problems: /^1 file, 168 MiB/,
  })
  t.match(await alice.sh('cmp in/large large'), done)
})

t.test('the next get removes what a killed one left, and no part of a complete file', async (t) => {
  mkdirSync(alice.path('left'))
  const names = (): string[] => readdirSync(alice.path('left'))
  await killedWhen(['get', 'large', 'left'], () => names().some((name) => /^\.dfc-temp/.test(name)))
  t.match(names(), [/^\.dfc-temp-/])
  const parts = (): boolean => names().some((name) => /^\.dfc-part/.test(name))
  await killedWhen(['get', '--resume', 'large', 'left'], parts)
  t.match(names(), [/^\.dfc-part-/])
  t.match(await alice.dfc('get', 'large', 'left'), done)
  t.same(names(), ['large'])
})

t.test('a put that was killed leaves no names on the servers that nobody gave', async (t) => {
  mkdirSync(alice.path('replaced'))
  symlinkSync('target', alice.path('replaced/link'))
  t.match(await alice.dfc('put', '-r', 'replaced'), done)
  let votes = 0
  proxies.watch(({ verb, isAnswer }) => {
    if (verb === 'commit' && isAnswer) votes += 1
  })
  await slowly(1_000, () => killedWhen(['put', '-r', 'replaced', '/'], () => votes >= 4), 'commit')
  t.equal((await alice.dfc('list', 'replaced')).out, 'link\n')
})

t.test('every error of one file names it, and the others go on', async (t) => {
  make('bad', { a: 'aaaa', z: 'zzzz', 'sub/m': 'mmmm' })
  t.match(await alice.dfc('put', '-r', 'bad'), done)
  await servers.kill(1, 2)
  const { status, problems } = await alice.dfc('get', '-r', 'bad', 'good')
  t.equal(status, 1)
  for (const name of ['bad/a', 'bad/z', 'bad/sub/m']) {
    t.match(problems, `dfc: ${name}: File is incomplete\n`)
  }
  t.match(await alice.dfc('sync', '--down', '--delete', 'bad', 'same'), { status: 1 })
  t.same(Object.keys(tree('same')).sort(), ['a', 'b/c'], 'with two servers nothing is deleted')
  await servers.start(1)
  await servers.start(2)
})
