import { type ChildProcess, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { UsersFile } from '../../../src/dfs/users/users.js'
import {
  userNames,
  withoutUser,
  withQuota,
  withTrash,
  withUser,
} from '../../../src/dfs/users/users-text.js'
import { redirectNotices } from '../../../src/log.js'
import {
  formatVerifier,
  makeVerifier,
  pretendVerifier,
  type Verifier,
} from '../../../src/wire/scram.js'
import { spawnMortal } from '../../fixtures/mortal.js'

const program = resolve(import.meta.dirname, '../../../src/dfs/main.js')
const secret = Buffer.alloc(32, 7)
const parsed = await Promise.all(
  [0, 1, 2, 3].map((at) => makeVerifier('new', Buffer.alloc(16, at), 4096)),
)
const verifiers = parsed.map(formatVerifier)
const assigned = `verifiers = [${verifiers.map((one) => `"${one}"`).join(', ')}]`

t.setTimeout(240_000)
const umask = process.umask(0o077)
t.teardown(() => process.umask(umask))

const file = `# The users.

# Alice runs it.
[users.alice]
password = "secret" # change it

[users."b.c"] # with a dot
verifier = "${formatVerifier(await makeVerifier('x', Buffer.alloc(16, 1), 4096))}"

# The end.
`

const edit = (text: string, name: string) => withUser(text, 'dfs.conf', name, { verifiers: parsed })
const remove = (text: string, name: string) => withoutUser(text, 'dfs.conf', name)

async function matches(search: Promise<Verifier | undefined>, password: string): Promise<boolean> {
  const found = await search
  if (found === undefined) return false
  const made = await makeVerifier(password, found.salt, found.iterations)
  return made.storedKey.equals(found.storedKey)
}

t.test('adds a user at the end and leaves every other line alone', async (t) => {
  const edited = edit(file, 'dora')
  t.equal(edited, `${file}\n[users.dora]\n${assigned}\n`)
  t.equal(edit('', 'dora'), `[users.dora]\n${assigned}\n`)
  t.match(edit(file, 'd.e'), '[users."d.e"]')
})

t.test('changes the password of one user in place', async (t) => {
  const edited = edit(file, 'alice')
  t.equal(edited, file.replace('password = "secret"', `${assigned}`))
  t.equal(edit(edited, 'alice'), edited)
  t.same(userNames(edited, 'dfs.conf'), ['alice', 'b.c'])
})

t.test('removes one user and keeps the comments', async (t) => {
  const edited = remove(file, 'alice')
  t.same(userNames(edited, 'dfs.conf'), ['b.c'])
  t.match(edited, '# Alice runs it.')
  t.match(edited, '# The end.')
  t.equal(remove(edit(file, 'dora'), 'dora'), file)
  t.same(userNames(remove(remove(file, 'alice'), 'b.c'), 'dfs.conf'), [])
})

t.test('edits users that are written in other ways, or says that it cannot', async (t) => {
  const dotted = 'users.alice.password = "a"\nusers.bob.password = "b"\n'
  t.same(userNames(remove(dotted, 'alice'), 'dfs.conf'), ['bob'])
  const short = '[users]\nalice = { password = "a" }\nbob = { password = "b" }\n'
  t.same(userNames(remove(short, 'bob'), 'dfs.conf'), ['alice'])
  t.same(userNames(edit(short, 'bob'), 'dfs.conf'), ['alice', 'bob'])
  const long = `[users.alice]\npassword = """\\\n[users.bob]\\\n"""\n`
  t.same(userNames(edit(long, 'carl'), 'dfs.conf'), ['alice', 'carl'])
  t.equal(remove(long, 'alice'), '')
  const oneLine = '# All.\nusers = { alice = { password = "a" }, bob = { password = "b" } }\n'
  t.equal(edit(oneLine, 'bob'), oneLine.replace('password = "b"', `${assigned}`))
  const message = /^dfs\.conf:2: .*write each user as a table/
  t.throws(() => remove(oneLine, 'bob'), { code: 'configuration', message })
  t.throws(() => edit(oneLine, 'carl'), { code: 'configuration', message })
})

/** Ways to write the users alice and bob; `|` begins and ends what belongs to bob alone. */
const forms: Readonly<Record<string, string>> = {
  tables:
    '# Before.\n\n[users.alice] # a\npassword = "a" # A\n\n|[users.bob]\npassword = "b" # B\n|',
  'tables in another order':
    '|[users.bob]\npassword = "b"\n|# Between.\n[users.alice]\npassword = "a"',
  'a table with odd spaces':
    "[users.alice]\npassword = 'a'\n# Of bob.\n|  [ users . \"bob\" ] # x\n\tpassword='b'   \n|",
  'dotted keys': 'users.alice.password = "a" # one\n|users.bob.password = "b" # two\n|# end',
  'dotted keys in a table':
    '[users] # all\nalice.password = "a"\n|\'bob\' . "password" = "b"\n|\n\n\n# end',
  'inline tables':
    '[users]\nalice = { password = "a" } # one\n|bob = {password="b"} # two\n|# end\n',
  'inline tables of several lines':
    '[users]\n|bob = {\n  # of bob\n  password = "b", # B\n}\n|alice = { password = "a" }\n',
  'texts of several lines':
    "[users.alice]\npassword = '''\n[users.bob]'''\n" +
    '|[users.bob]\npassword = """\\\n[users.alice]\\\n\n\n\n""" # end\n|',
  'Unicode and escapes':
    '[users.alice]\npassword = "ä日本"\n|[users."\\u0062ob"]\npassword = "\\u00e9"\n|',
}

const variants: Readonly<Record<string, (text: string) => string>> = {
  LF: (text) => text,
  CRLF: (text) => text.replaceAll('\n', '\r\n'),
  'a byte order mark': (text) => `\uFEFF${text}`,
}

for (const [form, marked] of Object.entries(forms)) {
  for (const [variant, vary] of Object.entries(variants)) {
    t.test(`edits ${form}, with ${variant}, and no other byte`, async (t) => {
      // The mark is in front of all else.
      const text = vary(marked.replaceAll('|', ''))
      const end = variant === 'CRLF' ? '\r\n' : '\n'
      const [before = '', bob = '', after = ''] = marked
        .split('|')
        .map((part) => (variant === 'CRLF' ? vary(part) : part))
      const first = text.slice(0, text.length - before.length - bob.length - after.length)
      t.same(userNames(text, 'dfs.conf').toSorted(), ['alice', 'bob'])

      const oneEmptyLineLess = before.replace(/(\r?\n)\r?\n$/, '$1')
      t.equal(remove(text, 'bob'), first + oneEmptyLineLess + after)
      const assignment = /["']?password["']?\s*=\s*("{3}[\s\S]*?"{3}|"[^"]*"|'[^']*')/
      const changed = bob.replace(assignment, () => `${assigned}`)
      t.equal(edit(text, 'bob'), first + before + changed + after)
      const added = edit(text, 'dora')
      const whole = text.endsWith('\n') ? text : text + end
      t.equal(added, `${whole}${end}[users.dora]${end}${assigned}${end}`)
      t.equal(remove(added, 'dora'), whole)
    })
  }
}

const bound = (text: string, name: string, size?: string) => withQuota(text, 'dfs.conf', name, size)

t.test('sets, changes and removes the quota of one user, and no other byte', async (t) => {
  const bounded = bound(file, 'alice', '10G')
  t.equal(bounded, file.replace('# change it\n', '# change it\nquota = "10G"\n'))
  t.equal(bound(bounded, 'alice', '500M'), bounded.replace('10G', '500M'))
  t.equal(bound(bounded, 'alice'), file)
  t.equal(bound(file, 'alice'), file, 'there is none to remove')
  const changed = edit(bounded, 'alice')
  t.match(changed, 'quota = "10G"', 'another password leaves it')
  t.equal(bound(changed, 'alice'), edit(file, 'alice'))
  t.notMatch(remove(bounded, 'alice'), 'quota')
})

t.test('sets, changes and removes the trash of one user, beside a quota', async (t) => {
  const keep = (text: string, time?: string) => withTrash(text, 'dfs.conf', 'alice', time)
  const kept = keep(bound(file, 'alice', '10G'), '7d')
  t.match(kept, '# change it\ntrash = "7d"\nquota = "10G"\n')
  t.equal(keep(kept, '36h'), kept.replace('7d', '36h'))
  t.equal(bound(keep(kept), 'alice'), file)
  t.match(edit(kept, 'alice'), 'trash = "7d"', 'another password leaves it')
  for (const wrong of ['7', '0d', '1w', '-1d', '99999d', '']) {
    const text = `[users.alice]\npassword = "a"\ntrash = "${wrong}"\n`
    t.throws(() => userNames(text, 'dfs.conf'), {
      code: 'configuration',
      message:
        /^dfs\.conf:3: trash: expected a time such as "36h" or "7d", at most 3650d, or "off"/,
    })
  }
  t.same(userNames('[users.alice]\npassword = "a"\ntrash = "off"\n', 'dfs.conf'), ['alice'])
})

t.test('sets quotas in files that are written in other ways, or says that it cannot', async (t) => {
  for (const vary of Object.values(variants)) {
    const dotted = vary('users.alice.password = "a" # one\nusers.bob.password = "b"\n')
    const bounded = bound(dotted, 'alice', '1T')
    t.match(bounded, /one\r?\nusers\.alice\.quota = "1T"\r?\nusers\.bob/)
    t.equal(bound(bounded, 'alice'), dotted)
  }
  const open = '[users.alice]\npassword = "a"'
  t.equal(bound(open, 'alice', '5'), `${open}\nquota = "5"\n`)
  const short = '[users]\nalice = { password = "a" }\n'
  const message = /^dfs\.conf:1: .*write each user as a table/
  t.throws(() => bound(short, 'alice', '5'), { code: 'configuration', message })
})

t.test('says what a quota may be', async (t) => {
  for (const wrong of ['"10 G"', '"-1"', '"1.5G"', '10', '"10g"', '"9999999T"']) {
    const text = `[users.alice]\npassword = "a"\nquota = ${wrong}\n`
    t.throws(() => bound(text, 'alice'), {
      code: 'configuration',
      message: /^dfs\.conf:3: quota: expected a size such as "500M" or "10G", got/,
    })
  }
})

t.test('a change of a quota counts, also where the password is in clear', async (t) => {
  const path = join(t.testdir({ 'dfs.conf': file }), 'dfs.conf')
  const users = new UsersFile(path, secret)
  t.equal(users.quotaBytes('alice'), undefined)
  for (const [size, bytes] of [
    ['2G', 2 * 2 ** 30],
    ['7', 7],
  ] as const) {
    writeFileSync(path, bound(readFileSync(path, 'utf8'), 'alice', size))
    users.refresh()
    t.equal(users.quotaBytes('alice'), bytes)
  }
  t.equal(users.quotaBytes('b.c'), undefined)
  t.equal(users.quotaBytes('nobody'), undefined)
})

t.test('refuses to edit a file that is wrong already', async (t) => {
  t.throws(() => edit('[users.alice]\n', 'bob'), {
    code: 'configuration',
    message: /:1: alice: expected exactly one/,
  })
})

t.test('makes verifiers of passwords, with a salt of their own in each server', async (t) => {
  const path = join(t.testdir({ 'dfs.conf': file }), 'dfs.conf')
  const first = new UsersFile(path, secret)
  const saltIn = async (users: UsersFile): Promise<string | undefined> =>
    (await users.find('alice', 0))?.salt.toString('hex')
  t.ok(await matches(first.find('alice', 0), 'secret'))
  t.notOk(await matches(first.find('alice', 0), 'Secret'))
  t.ok(await matches(first.find('b.c', 0), 'x'))
  t.equal(await first.find('nobody', 0), undefined)
  t.not(await saltIn(new UsersFile(path, Buffer.alloc(32, 8))), await saltIn(first))
  t.equal(await saltIn(new UsersFile(path, secret)), await saltIn(first), 'after a restart')
  t.equal(await saltIn(first), pretendVerifier(secret, 'alice', 0).salt.toString('hex'))
  t.same(first.roundCounts, [4096, 4096])
})

t.test('has a verifier of its own for each position of a server', async (t) => {
  const path = join(t.testdir({ 'dfs.conf': edit(file, 'dora') }), 'dfs.conf')
  const users = new UsersFile(path, secret)
  for (const [position, text] of verifiers.entries()) {
    const found = await users.find('dora', position)
    t.equal(found && formatVerifier(found), text)
  }
  const single = await Promise.all([0, 1, 2, 3].map((position) => users.find('b.c', position)))
  t.equal(new Set(single).size, 1, 'a single one is that of every position')
})

t.test('knows which verifiers are still those of a user', async (t) => {
  const path = join(t.testdir({ 'dfs.conf': file }), 'dfs.conf')
  redirectNotices(() => {})
  const users = new UsersFile(path, secret)
  let changes = 0
  users.onChange(() => {
    changes += 1
  })
  const before = await users.find('alice', 0)
  const other = await users.find('b.c', 0)
  if (before === undefined || other === undefined) throw new Error('not found')
  t.ok(users.isCurrent('alice', before))
  t.notOk(users.isCurrent('b.c', before))
  writeFileSync(path, edit(file, 'alice'))
  users.refresh()
  t.equal(changes, 1)
  t.notOk(users.isCurrent('alice', before))
  t.ok(users.isCurrent('b.c', other))
  writeFileSync(path, remove(file, 'alice'))
  users.refresh()
  t.notOk(users.isCurrent('alice', before))
})

t.test('notices an edit at the next login, and survives a wrong one', async (t) => {
  const path = join(t.testdir({ 'dfs.conf': file }), 'dfs.conf')
  const notices: string[] = []
  redirectNotices((line) => notices.push(line))
  const users = new UsersFile(path, secret)
  const salt = (await users.find('alice', 0))?.salt
  writeFileSync(path, edit(file, 'dora'))
  t.ok(await matches(users.find('dora', 0), 'new'))
  t.same((await users.find('alice', 0))?.salt, salt, 'the salt of another user stays')
  appendFileSync(path, '[users.dora]\n')
  t.ok(await matches(users.find('dora', 0), 'new'), 'a broken file changes nothing')
  t.match(notices.at(-1), /dfs\.conf:\d+: .*the previous users stay in effect/)
  rmSync(path)
  t.ok(await matches(users.find('dora', 0), 'new'), 'nor does a missing one')
  writeFileSync(path, remove(file, 'alice'))
  t.equal(await users.find('alice', 0), undefined)
  t.equal(await users.find('dora', 0), undefined)
})

t.test('names the users whose passwords lie in clear', async (t) => {
  const path = join(t.testdir({ 'dfs.conf': file }), 'dfs.conf')
  const notices: string[] = []
  redirectNotices((line) => notices.push(line))
  new UsersFile(path, secret).warnOfPlainPasswords()
  writeFileSync(path, edit(file, 'alice'))
  new UsersFile(path, secret).warnOfPlainPasswords()
  t.equal(notices.length, 1)
  t.match(notices[0], /passwords in clear text: alice;/)
})

t.test('does it all from the command line', async (t) => {
  const path = join(t.testdir({}), 'dfs.conf')
  const run = (input: string, ...command: readonly string[]) => {
    const words = [program, 'user', ...command, '--config', path]
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { input })
    return { status, stdout: stdout.toString(), stderr: stderr.toString() }
  }
  t.equal(run('one\nignored\n', 'add', 'alice').status, 0)
  t.equal(statSync(path).mode & 0o777, 0o600, 'only its owner can read a new file')
  t.ok(await matches(new UsersFile(path, secret).find('alice', 0), 'one'))
  t.notMatch(readFileSync(path, 'utf8'), /one/)

  chmodSync(path, 0o640)
  t.equal(run('two', 'add', 'bob').status, 0)
  t.equal(statSync(path).mode & 0o777, 0o600, 'an old file is mended')
  t.equal(run('', 'list').stdout, 'alice\nbob\n')
  t.equal(run('three\n', 'passwd', 'alice').status, 0)
  t.ok(await matches(new UsersFile(path, secret).find('alice', 0), 'three'))
  t.match(run('', 'quota', 'alice', '10G').stdout, /alice .* has a quota of 10G/)
  t.equal(new UsersFile(path, secret).quotaBytes('alice'), 10 * 2 ** 30)
  t.equal(run('four\n', 'passwd', 'alice').status, 0)
  t.equal(new UsersFile(path, secret).quotaBytes('alice'), 10 * 2 ** 30, 'passwd keeps it')
  t.match(
    run('', 'trash', 'alice', '7d').stdout,
    /alice .* keeps what is removed or replaced for 7d/,
  )
  t.equal(new UsersFile(path, secret).trashMs('alice'), 7 * 86_400_000)
  t.match(run('', 'trash', 'alice', 'off').stdout, /keeps nothing that is removed from now on/)
  t.equal(new UsersFile(path, secret).trashMs('alice'), 0)
  t.match(
    run('', 'trash', 'alice', 'soon').stderr,
    /"soon" is no time for a trash: use a time such/,
  )
  t.match(run('', 'quota', 'alice', 'none').stdout, /has no quota/)
  t.equal(new UsersFile(path, secret).quotaBytes('alice'), undefined)
  t.equal(run('', 'remove', 'bob').status, 0)
  t.equal(run('', 'list').stdout, 'alice\n')

  const before = readFileSync(path, 'utf8')
  const refused: readonly (readonly [readonly string[], string, RegExp])[] = [
    [['add', 'alice'], 'x\n', /^dfs-server: .*has a user "alice" already\n$/],
    [['add', '../x'], 'x\n', /^dfs-server: "\.\.\/x" cannot be a user's name/],
    [['add', 'LOCK.DB'], 'x\n', /^dfs-server: "LOCK.DB" cannot be a user's name/],
    [['add', 'Alice.'], 'x\n', /has a user "alice", whose folder would be the same on some disks/],
    [['add', 'carl'], '\n', /^dfs-server: A password must not be empty/],
    [['add', 'carl'], '', /^dfs-server: A password must not be empty/],
    [['add', 'carl'], 'x\u0007\n', /^dfs-server: A password has to be a text that SASLprep/],
    [['quota', 'carl', '1G'], '', /^dfs-server: .*has no user "carl"\n$/],
    [['quota', 'alice', '1 G'], '', /^dfs-server: "1 G" is no quota: use a size such as "500M"/],
    [['passwd', 'carl'], 'x\n', /^dfs-server: .*has no user "carl"\n$/],
    [['remove', 'carl'], '', /^dfs-server: .*has no user "carl"\n$/],
  ]
  for (const [command, input, message] of refused) {
    const { status, stderr } = run(input, ...command)
    t.equal(status, 1)
    t.match(stderr, message)
  }
  t.equal(readFileSync(path, 'utf8'), before)
})

t.test('edits the file that a link names, and leaves the link', async (t) => {
  const folder = t.testdir({
    common: { 'dfs.conf': file },
    'dfs.conf': t.fixture('symlink', 'common/dfs.conf'),
  })
  const [link, common] = [join(folder, 'dfs.conf'), join(folder, 'common', 'dfs.conf')]
  redirectNotices(() => {})
  const users = new UsersFile(common, secret)
  const words = [program, 'user', 'remove', 'alice', '--config', link]
  t.equal(spawnSync(process.execPath, words).status, 0)
  t.equal(await users.find('alice', 0), undefined, 'a server that reads the file itself knows')
  t.ok(lstatSync(link).isSymbolicLink())
  t.same(readdirSync(folder).sort(), ['common', 'dfs.conf'])
})

t.test('keeps the old password for a while, in the file as well', async (t) => {
  const path = join(t.testdir({}), 'dfs.conf')
  const run = (input: string, ...command: readonly string[]) =>
    spawnSync(process.execPath, [program, 'user', ...command, '--config', path], { input })
  redirectNotices(() => {})
  t.equal(run('one\n', 'add', 'alice').status, 0)
  const first = readFileSync(path, 'utf8')
  const { status, stdout } = run('two\n', 'passwd', 'alice', '--keep-old', '24h')
  t.equal(status, 0)
  t.match(`${stdout}`, /; the old one is good until \d{4}-\d\d-\d\dT/)
  const users = new UsersFile(path, secret)
  const both = await users.find('alice', 2)
  if (both?.old === undefined) throw new Error('not both')
  t.ok(await matches(users.find('alice', 2), 'two'))
  t.ok(await matches(Promise.resolve({ ...both, ...both.old }), 'one'))
  t.ok(users.isCurrent('alice', both))
  t.ok(users.isCurrent('alice', both.old))

  let changes = 0
  users.onChange(() => {
    changes += 1
  })
  const past = readFileSync(path, 'utf8').replace(
    /until = "[^"]*"/,
    'until = "2001-01-01T00:00:00Z"',
  )
  writeFileSync(path, past)
  users.refresh()
  t.notOk(users.isCurrent('alice', both.old))
  t.ok(users.isCurrent('alice', both))
  t.equal((await users.find('alice', 2))?.old, undefined)
  t.equal(changes, 1)

  t.equal(run('three\n', 'passwd', 'alice', '--keep-old', '7d').status, 0, 'the one before goes')
  t.equal(readFileSync(path, 'utf8').match(/old = /g)?.length, 1)
  t.equal(run('four\n', 'passwd', 'alice').status, 0)
  t.equal(
    readFileSync(path, 'utf8').split('\n').length,
    first.split('\n').length,
    'nothing is left of it',
  )
  for (const time of ['', '1', '5s', '31d', '-1h', '0h']) {
    t.match(
      `${run('x\n', 'passwd', 'alice', '--keep-old', time).stderr}`,
      /expected a time such as 90m/,
    )
  }
  writeFileSync(path, '[users.alice]\npassword = "clear"\n')
  t.match(
    `${run('x\n', 'passwd', 'alice', '--keep-old', '1h').stderr}`,
    /change it without --keep-old/,
  )
})

t.test('the time of an old password ends without an edit of the file', async (t) => {
  const old = { untilMs: Date.now() + 300, verifiers: parsed }
  const text = withUser('', 'dfs.conf', 'alice', { verifiers: parsed, old })
  const path = join(t.testdir({ 'dfs.conf': text }), 'dfs.conf')
  const notices: string[] = []
  redirectNotices((line) => notices.push(line))
  const users = new UsersFile(path, secret)
  let changes = 0
  users.onChange(() => {
    changes += 1
  })
  users.refresh()
  t.equal(changes, 0)
  await new Promise((resolve) => setTimeout(resolve, 400))
  for (let look = 0; look < 3; look += 1) users.refresh()
  t.equal(changes, 1)
  t.equal(notices.length, 1)
  t.match(notices[0], /the old password of alice is no longer good/)
})

t.test('two passwords that could not be offered to one client are refused', async (t) => {
  const other = await Promise.all(
    [9, 8, 7, 6].map((at) => makeVerifier('x', Buffer.alloc(16, at), 4096)),
  )
  const old = { untilMs: Date.now() + 60_000, verifiers: other }
  const text = withUser('', 'dfs.conf', 'alice', { verifiers: parsed, old })
  const path = join(t.testdir({ 'dfs.conf': text }), 'dfs.conf')
  t.throws(() => new UsersFile(path, secret), {
    code: 'configuration',
    message: /other salts or rounds/,
  })
})

/** What is seen on a terminal where `user add alice` gets these answers, each when it is asked. */
async function seenOnTerminal(path: string, ...answers: readonly string[]): Promise<string> {
  const command = `${process.execPath} ${program} user add alice --config ${path}`
  const terminal = spawnMortal('script', ['-qec', command, '/dev/null'])
  let seen = ''
  let asked = 0
  terminal.stdout?.on('data', (text: Buffer) => {
    seen += text.toString()
    for (; asked < seen.split(': ').length - 1 && asked < answers.length; asked += 1) {
      terminal.stdin?.write(`${answers[asked]}\r`)
    }
  })
  await once(terminal, 'close')
  return seen
}

const hasScript = spawnSync('script', ['--version']).status === 0

t.test(
  'asks twice on a terminal, without echo',
  { skip: !hasScript && 'script(1) is not installed' },
  async (t) => {
    const path = join(t.testdir({}), 'dfs.conf')
    const differing = await seenOnTerminal(path, 'hush1', 'hush2')
    t.match(differing, /The two passwords differ/)
    t.notMatch(differing, /hush/)
    const equal = await seenOnTerminal(path, 'hush3', 'hush3')
    t.match(equal, /Added the user alice/)
    t.notMatch(equal, /hush/)
    t.ok(await matches(new UsersFile(path, secret).find('alice', 0), 'hush3'))
  },
)

t.test(
  'on reload a file that others can read changes nothing, and that is said once',
  async (t) => {
    const path = join(openFolder(t), 'dfs.conf')
    writeFileSync(path, file, { mode: 0o600 })
    const notices: string[] = []
    redirectNotices((line) => notices.push(line))
    const users = new UsersFile(path, secret)
    writeFileSync(path, edit(file, 'dora'))
    chmodSync(path, 0o644)
    for (let login = 0; login < 3; login += 1) t.equal(await users.find('dora', 0), undefined)
    t.ok(await matches(users.find('alice', 0), 'secret'))
    t.equal(notices.length, 1)
    t.match(
      notices[0],
      /others can read it \(mode 0644\): chmod 600 .*; the previous users stay in effect/,
    )
    chmodSync(path, 0o600)
    t.ok(await matches(users.find('dora', 0), 'new'))
  },
)

t.test('in a folder that nobody else can enter the mode of the file does not matter', async (t) => {
  const folder = openFolder(t)
  const path = join(folder, 'dfs.conf')
  writeFileSync(path, file)
  chmodSync(path, 0o644)
  t.throws(() => new UsersFile(path, secret), { code: 'configuration' })
  chmodSync(folder, 0o700)
  t.ok(await matches(new UsersFile(path, secret).find('alice', 0), 'secret'))
})

/** A folder that everybody can enter, wherever this checkout is. */
function openFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'dfs-users-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  chmodSync(folder, 0o755)
  return folder
}

t.test('a file of verifiers that everybody can read is taken, and that is said once', async (t) => {
  const path = join(t.testdir({ 'dfs.conf': edit(file, 'alice') }), 'dfs.conf')
  const notices: string[] = []
  redirectNotices((line) => notices.push(line))
  chmodSync(path, 0o644)
  const users = new UsersFile(path, secret)
  appendFileSync(path, '# edited\n')
  t.ok(await matches(users.find('alice', 0), 'new'))
  t.equal(notices.filter((line) => /everybody can read it \(mode 0644\)/.test(line)).length, 1)
})

t.test('users whose folders would be one on some disks are refused', async (t) => {
  for (const twin of ['Alice', 'alice.']) {
    const path = join(
      t.testdir({ 'dfs.conf': `${file}[users."${twin}"]\npassword = "x"\n` }),
      'dfs.conf',
    )
    t.throws(() => new UsersFile(path, secret), {
      code: 'configuration',
      message: /"alice" and/,
    })
  }
})

t.test('a name that is a word of JavaScript is a name', async (t) => {
  const path = join(t.testdir({ 'dfs.conf': file }), 'dfs.conf')
  for (const name of ['__proto__', 'constructor']) {
    t.equal(await new UsersFile(path, secret).find(name, 0), undefined)
    writeFileSync(path, edit(readFileSync(path, 'utf8'), name))
    t.ok(await matches(new UsersFile(path, secret).find(name, 0), 'new'), name)
    writeFileSync(path, remove(readFileSync(path, 'utf8'), name))
    t.equal(await new UsersFile(path, secret).find(name, 0), undefined)
  }
})

/** Starts `user add` and gives it a password. */
function adding(path: string, name: string): ChildProcess {
  const words = [program, 'user', 'add', name, '--config', path]
  const child = spawnMortal(process.execPath, words, { stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin?.on('error', () => undefined).end('pw\n')
  return child
}

t.test('of eight that are added at once none is lost', async (t) => {
  const path = join(t.testdir({}), 'dfs.conf')
  const names = Array.from({ length: 8 }, (_, index) => `u${index}`)
  const ended = names.map(async (name) => (await once(adding(path, name), 'exit'))[0])
  t.same(
    await Promise.all(ended),
    names.map(() => 0),
  )
  t.same(userNames(readFileSync(path, 'utf8'), path).toSorted(), names)
})

t.test('one that is killed at any step breaks nothing and stops nobody', async (t) => {
  const folder = t.testdir({ 'dfs.conf': file })
  const path = join(folder, 'dfs.conf')
  const steps = 10
  let killed = 0
  for (let step = 0; step < steps; step += 1) {
    const child = adding(path, `killed${step}`)
    let changes = 0
    // The lock, its journal and the new file are made, written and renamed: each shows in the folder.
    const watcher = watch(folder, () => {
      if (changes === step) child.kill('SIGKILL')
      changes += 1
    })
    if ((await once(child, 'exit'))[1] === 'SIGKILL') killed += 1
    watcher.close()
    t.ok(userNames(readFileSync(path, 'utf8'), path).includes('alice'))
  }
  t.ok(killed > steps / 2, `${killed} were killed`)
  writeFileSync(`${path}.4711.tmp`, 'half of', { mode: 0o600 })
  t.equal((await once(adding(path, 'last'), 'exit'))[0], 0)
  t.ok(userNames(readFileSync(path, 'utf8'), path).includes('last'))
  t.same(readdirSync(folder).sort(), ['dfs.conf', 'dfs.conf.lock'], 'what it left is gone')
})
