import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import {
  isUserName,
  loadClientConfig,
  parseAddress,
  parseClientConfig,
  parseServerConfig,
  readConfig,
} from '../src/config.js'
import { limits } from '../src/limits.js'
import { redirectNotices } from '../src/log.js'
import { metricsRule } from '../src/metrics-address.js'
import { formatVerifier, makeVerifier, parseVerifier } from '../src/wire/scram.js'

const project = resolve(import.meta.dirname, '../..')
const isRoot = process.getuid?.() === 0

const good = `# who
user = "alice"
password = "secret"
timeout = "500ms"

[[server]]
name = "DFS1"
address = "127.0.0.1:10001"

[[server]]
name = "DFS2"
address = "[::1]:10002"

[[server]]
name = "DFS3"
address = "three.example:10003"

[[server]]
name = "DFS4"
address = "127.0.0.1:10004"
`

const parse = (text: string, environment = {}) => parseClientConfig(text, 'dfc.conf', environment)

const verifierText = formatVerifier(await makeVerifier('x', Buffer.alloc(16), 4096))

/** A mistake made by replacing a text of the good file, and the expected message. */
interface Mistake {
  readonly from: string
  readonly to: string
  readonly message: string
}

const syntaxRule = 'expected each key once, as in key = "text", and tables as in [name]'

const mistakes: readonly Mistake[] = [
  {
    from: 'timeout = "500ms"',
    to: 'metrics = "0.0.0.0:9464"',
    message: `dfc.conf:4: metrics: expected ${metricsRule}, got "0.0.0.0:9464"`,
  },
  {
    from: '"127.0.0.1:10001"',
    to: '"localhost"',
    message: 'dfc.conf:8: address: expected "host:port", got "localhost"',
  },
  {
    from: '"three.example:10003"',
    to: '"three.example:0"',
    message: 'dfc.conf:16: address: expected "host:port", got "three.example:0"',
  },
  {
    from: 'address = "127.0.0.1:10004"\n',
    to: '',
    message: 'dfc.conf:18: address: expected "host:port", got nothing',
  },
  {
    from: '"127.0.0.1:10004"',
    to: '10004',
    message: 'dfc.conf:20: address: expected "host:port", got 10004',
  },
  {
    from: '127.0.0.1:10004',
    to: '127.0.0.1:10001',
    message:
      'dfc.conf:20: address: expected an address that no other server has, got "127.0.0.1:10001"',
  },
  {
    from: 'DFS4',
    to: 'DFS2',
    message: 'dfc.conf:19: name: expected a name that no other server has, got "DFS2"',
  },
  {
    from: '"DFS3"',
    to: '""',
    message: 'dfc.conf:15: name: expected a name such as "DFS1", got ""',
  },
  {
    from: '\n[[server]]\nname = "DFS4"\naddress = "127.0.0.1:10004"\n',
    to: '',
    message: 'dfc.conf:6: server: expected exactly 4 [[server]], got 3',
  },
  {
    from: '"alice"',
    to: 'alice',
    message: `dfc.conf:2: Unexpected character: ${syntaxRule}`,
  },
  {
    from: 'timeout',
    to: 'timeuot',
    message:
      'dfc.conf:4: unknown key "timeuot": expected one of user, password, timeout, recovery, metrics, tls, server',
  },
  {
    from: 'name = "DFS2"',
    to: 'name = "DFS2"\nweight = 1',
    message: 'dfc.conf:12: unknown key "weight": expected one of name, address, key',
  },
  {
    from: '"500ms"',
    to: '"soon"',
    message:
      'dfc.conf:4: timeout: expected a duration from "10ms" to "60s", such as "2s", got "soon"',
  },
  {
    from: '"500ms"',
    to: '2',
    message: 'dfc.conf:4: timeout: expected a duration from "10ms" to "60s", such as "2s", got 2',
  },
  {
    from: '"alice"',
    to: '"../alice"',
    message:
      'dfc.conf:2: user: expected a name of 1 to 64 of A-Z a-z 0-9 . _ - (no dot in front), got "../alice"',
  },
  {
    from: '"secret"',
    to: '1234',
    message:
      "dfc.conf:3: password: expected a text here or in the environment's DFC_PASSWORD, got a number",
  },
  {
    from: 'password = "secret"\n',
    to: '',
    message:
      "dfc.conf:1: password: expected a text here or in the environment's DFC_PASSWORD, got nothing",
  },
  {
    from: 'user = "alice"\n',
    to: '',
    message:
      'dfc.conf:1: user: expected a name of 1 to 64 of A-Z a-z 0-9 . _ - (no dot in front), got nothing',
  },
  {
    from: 'user = "alice"',
    to: 'usr = "alice"',
    message:
      'dfc.conf:2: unknown key "usr": expected one of user, password, timeout, recovery, metrics, tls, server',
  },
  {
    from: 'user = "alice"',
    to: 'user = "alice"\n"__proto__" = 1',
    message:
      'dfc.conf:3: unknown key "__proto__": expected one of user, password, timeout, recovery, metrics, tls, server',
  },
  {
    from: 'user = "alice"',
    to: 'user = "alice"\nrecovery = ""',
    message: 'dfc.conf:3: recovery: expected a folder, got ""',
  },
  {
    from: 'user = "alice"',
    to: 'user = "alice"\nrecovery = 2026-01-01',
    message: 'dfc.conf:3: recovery: expected a folder, got a date',
  },
  {
    from: 'user = "alice"',
    to: 'user.name = "alice"',
    message:
      'dfc.conf:2: user: expected a name of 1 to 64 of A-Z a-z 0-9 . _ - (no dot in front), got a table',
  },
  {
    from: '"500ms"',
    to: '["500ms",\n  "1s"]',
    message:
      'dfc.conf:4: timeout: expected a duration from "10ms" to "60s", such as "2s", got a list',
  },
  {
    from: 'password = "secret"',
    to: 'password = "secret"\npassword = "secret"',
    message: `dfc.conf:4: Defining a key multiple times is invalid: ${syntaxRule}`,
  },
  {
    from: 'address = "[::1]:10002"',
    to: 'address = "[::1]:10002"\naddress = "[::1]:10002"',
    message: `dfc.conf:13: Defining a key multiple times is invalid: ${syntaxRule}`,
  },
  {
    from: '[[server]]\nname = "DFS2"',
    to: '[server]\nname = "DFS2"',
    message: `dfc.conf:10: Defining a key multiple times is invalid: ${syntaxRule}`,
  },
  {
    from: 'address = "127.0.0.1:10004"',
    to: 'address.host = "127.0.0.1"\naddress.port = 10004',
    message: 'dfc.conf:20: address: expected "host:port", got a table',
  },
]

t.test('reads a good file of the client', async (t) => {
  t.same(parse(good), {
    user: 'alice',
    password: 'secret',
    timeoutMs: 500,
    servers: [
      { name: 'DFS1', address: { host: '127.0.0.1', port: 10_001 } },
      { name: 'DFS2', address: { host: '::1', port: 10_002 } },
      { name: 'DFS3', address: { host: 'three.example', port: 10_003 } },
      { name: 'DFS4', address: { host: '127.0.0.1', port: 10_004 } },
    ],
    recovery: undefined,
  })
})

for (const { from, to, message } of mistakes) {
  t.test(`says ${message}`, async (t) => {
    const text = good.replace(from, to)
    t.not(text, good)
    t.throws(() => parse(text), { name: 'DfsError', code: 'configuration', message })
  })
}

const broken: readonly (readonly [from: string, to: string, line: number])[] = [
  ['"secret"', '"secret', 3],
  ['"secret"', "'secret", 3],
  ['"secret"', '', 3],
  ['"secret"', '"sec\\qret"', 3],
  ['"secret"', '"sec\u0007ret"', 3],
  ['user = "alice"\npassword = "secret"', '\n\nuser =\n', 4],
  ['password = ', 'password ', 3],
  ['password = ', 'pässword = ', 3],
  ['password = ', '= ', 3],
  ['user = "alice"', "recovery = '''\ntwo\nlines''' x\nuser = \"alice\"", 4],
  ['[[server]]\nname = "DFS2"', '[[server\nname = "DFS2"', 10],
  ['"DFS2"', '{ a = 1,, }', 11],
]

t.test('reports where the syntax is broken and what is expected, and quotes nothing', async (t) => {
  for (const [from, to, line] of broken) {
    const text = good.replace(from, to)
    const message = new RegExp(`^dfc\\.conf:${line}: ((?!ret).)+: expected ((?!ret).)+$`)
    const expected = { code: 'configuration', message }
    t.throws(() => parse(text), expected, to)
    t.throws(() => parse(text.replaceAll('\n', '\r\n')), expected, `${to} with CRLF`)
    t.throws(() => parse(`\uFEFF${text}`), expected, `${to} behind a byte order mark`)
  }
})

const allServers = /\[\[server[\s\S]*/

t.test('reads the same file in all forms that TOML allows', async (t) => {
  const expected = parse(good)
  t.same(parse(good.replaceAll('\n', '\r\n')), expected, 'CRLF')
  t.same(parse(`\uFEFF${good}`), expected, 'a byte order mark')
  t.same(parse(good.trimEnd()), expected, 'no end of line at the end')
  t.same(parse(good.replace('user', ' "user" ').replace('password', "'password'")), expected)
  t.same(parse(good.replace('"secret"', '"""\\\n  secret"""  # kept')), expected)
  t.same(parse(good.replace('"secret"', "'''\nsecret'''")), expected)
  const servers = expected.servers.map(({ name, address: { host, port } }) => {
    const place = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    return `{ name = '${name}', # ${name}\n address = "${place}" }`
  })
  const inline = `server = [\n# four\n${servers.join(',\n')}, # end\n]\n`
  t.same(parse(good.replace(allServers, inline)), expected, 'an array of inline tables')
  t.match(parse(good.replace('"DFS1"', '"Küche 日本"')).servers[0], { name: 'Küche 日本' })
})

t.test('names the line of a mistake in every form of the file', async (t) => {
  const address = (line: number) => ({ message: new RegExp(`^dfc\\.conf:${line}: address: `) })
  const wrong = good.replace('127.0.0.1:10004', 'nowhere')
  t.throws(() => parse(wrong), address(20))
  t.throws(() => parse(wrong.replaceAll('\n', '\r\n')), address(20))
  t.throws(() => parse(`\uFEFF${wrong}`), address(20))
  t.throws(() => parse(wrong.replace('"500ms"', '"""\\\n\n  500ms"""')), address(22))
  const quoted = wrong.replace('name = "DFS4"\n', '# [[server]]\n"name" = "DFS4"\n')
  t.throws(() => parse(quoted), address(21))
  const inline = 'server = [\n  { name = "DFS1" },\n  {\n  name = "DFS2",\n  address = "2" },\n]'
  t.throws(() => parse(good.replace(allServers, inline)), address(7), 'the first of two')
})

t.test('never shows a password', async (t) => {
  const text = '[users.alice]\npassword = "hush"\nverifier = "hush"\n'
  try {
    parseServerConfig(text, 'dfs.conf', parseVerifier).users
    t.fail('accepted')
  } catch (thrown) {
    t.notMatch(String(thrown), /hush/)
  }
  t.throws(() => parse(good.replace('"secret"', '"hush" x')), { message: /^((?!hush).)*$/s })
})

t.test('refuses passwords that SASLprep prohibits, and does not quote them', async (t) => {
  const message = (where: string) => new RegExp(`^${where}: .*SASLprep((?!hush).)*$`)
  const text = good.replace('"secret"', '"hush\\u0007"')
  t.throws(() => parse(text), { code: 'configuration', message: message('dfc\\.conf:3: password') })
  const environment = { DFC_PASSWORD: 'hush\t' }
  t.throws(() => parse(text, environment), {
    code: 'configuration',
    message: message('DFC_PASSWORD'),
  })
  const users = '\n[users.alice]\npassword = "hush\\u0000"'
  t.throws(() => parseServerConfig(users, 'dfs.conf', parseVerifier), {
    code: 'configuration',
    message: message('dfs\\.conf:3: password'),
  })
})

t.test('takes the password from the environment first', async (t) => {
  const without = good.replace('password = "secret"\n', '')
  t.equal(parse(good, { DFC_PASSWORD: 'other' }).password, 'other')
  t.equal(parse(without, { DFC_PASSWORD: 'other' }).password, 'other')
  t.equal(parse(good, { DFC_PASSWORD: '' }).password, 'secret')
})

t.test('waits two seconds by default, and takes s and ms', async (t) => {
  t.equal(parse(good.replace('timeout = "500ms"', '')).timeoutMs, limits.requestTimeoutMs)
  t.equal(parse(good.replace('500ms', '1.5s')).timeoutMs, 1500)
  for (const wrong of ['0s', '9ms', '61s', '-1s', '2m', '2 s', '']) {
    t.throws(() => parse(good.replace('500ms', wrong)), { code: 'configuration' }, wrong)
  }
})

t.test('looks for the recovery folder beside the file', async (t) => {
  const text = `recovery = "kept"\n${good}`
  t.equal(parseClientConfig(text, '/etc/dfs/dfc.conf', {}).recovery, '/etc/dfs/kept')
  const absolute = text.replace('"kept"', '"/var/kept"')
  t.equal(parseClientConfig(absolute, '/etc/dfs/dfc.conf', {}).recovery, '/var/kept')
})

t.test('reads addresses as host and port', async (t) => {
  t.same(parseAddress('a-b.c:1'), { host: 'a-b.c', port: 1 })
  t.same(parseAddress('[fe80::1%eth0]:65535'), { host: 'fe80::1%eth0', port: 65_535 })
  for (const wrong of ['', ':1', 'a', 'a:', 'a:0', 'a:65536', 'a:1x', '::1:80', 'a b:1', '[::1]']) {
    t.equal(parseAddress(wrong), undefined, wrong)
  }
})

t.test('accepts names of users that are safe as names of folders', async (t) => {
  for (const name of ['a', 'alice', 'A.b_c-9', '_', '-x', 'x'.repeat(64)]) t.ok(isUserName(name))
  for (const name of ['', '.', '..', '.a', 'a/b', 'a b', 'ä', 'a\n', 'x'.repeat(65)]) {
    t.notOk(isUserName(name), name)
  }
  t.notOk(isUserName('identity.json'), 'a file of the server')
  t.notOk(isUserName('lock.db-journal'), 'a file of the server')
  t.notOk(isUserName('LOCK.DB'), 'the same on a disk that ignores case')
})

t.test('reads the users with their passwords, verifiers and quotas', async (t) => {
  const text = formatVerifier(await makeVerifier('x', Buffer.alloc(16), 4096))
  const { users } = parseServerConfig(
    `[users.alice]\npassword = "secret"\n[users."b.c"]\nverifier = "${text}"\n`,
    'dfs.conf',
    parseVerifier,
  )
  t.same([...users.keys()], ['alice', 'b.c'])
  t.same(users.get('alice'), { kind: 'password', password: 'secret' })
  t.same(users.get('b.c'), { kind: 'verifiers', verifiers: [parseVerifier(text)] })
})

t.test('reports what is wrong with a user', async (t) => {
  const wrong: readonly (readonly [string, string])[] = [
    [
      '[users.alice]\n',
      'dfs.conf:1: alice: expected exactly one of password, verifiers and verifier, got none',
    ],
    [
      `# Two.\n[users.alice]\npassword = "x"\nverifier = '${verifierText}'`,
      'dfs.conf:2: alice: expected exactly one of password, verifiers and verifier, got 2 of them',
    ],
    [
      '[users.alice]\npassword = "x"\n\n[users.alice]\npassword = "y"',
      `dfs.conf:4: Defining a key multiple times is invalid: ${syntaxRule}`,
    ],
    [
      '[users]\nalice.password = "x"\n[users.alice]\npassword = "y"',
      `dfs.conf:3: Defining a key multiple times is invalid: ${syntaxRule}`,
    ],
    ['[[users]]\npassword = "x"', 'dfs.conf:1: users: expected tables [users.NAME], got a list'],
    ['users = 1', 'dfs.conf:1: users: expected tables [users.NAME], got 1'],
    [
      'users = { alice = { password = 7 } }',
      'dfs.conf:1: password: expected at least one character, got a number',
    ],
    [
      '[users.alice.phone]\npassword = "x"',
      'dfs.conf:1: unknown key "phone": expected one of password, verifier',
    ],
    [
      '[users."ä"]\npassword = "x"',
      'dfs.conf:1: ä: expected a name of 1 to 64 of A-Z a-z 0-9 . _ - (no dot in front), got "ä"',
    ],
    [
      '\n[users.alice]\npassword = ""',
      'dfs.conf:3: password: expected at least one character, got another text',
    ],
    [
      '[users.alice]\nverifier = "x"',
      'dfs.conf:2: verifier: expected a SCRAM-SHA-256 verifier, got another text',
    ],
    [
      '[users.alice]\nadmin = true',
      'dfs.conf:2: unknown key "admin": expected one of password, verifier',
    ],
    [
      '[users]\nalice = "secret"',
      'dfs.conf:2: alice: expected a table with a password or verifiers, got "secret"',
    ],
    [
      '[user.alice]\npassword = "x"',
      'dfs.conf:1: unknown key "user": expected one of tls, metrics, users',
    ],
    [
      '[users.".hidden"]\npassword = "x"',
      'dfs.conf:1: .hidden: expected a name of 1 to 64 of A-Z a-z 0-9 . _ - (no dot in front), got ".hidden"',
    ],
  ]
  for (const [text, message] of wrong) {
    const read = (): unknown => parseServerConfig(text, 'dfs.conf', parseVerifier).users
    t.throws(read, { code: 'configuration', message })
  }
})

t.test('accepts words of JavaScript as names of users', async (t) => {
  const names = ['__proto__', 'constructor', 'prototype', 'toString']
  const text = names.map((name) => `[users.${name}]\npassword = "of ${name}"\n`).join('')
  const users = parseServerConfig(text, 'dfs.conf', parseVerifier).users
  t.same([...users.keys()], names)
  t.same(users.get('__proto__'), { kind: 'password', password: 'of __proto__' })
  t.equal(({} as Record<string, unknown>).password, undefined)
})

t.test('names a file that is missing or cannot be read', async (t) => {
  const missing = `${t.testdir({})}/dfc.conf`
  const message = `${missing}: cannot read the configuration: there is no such file`
  t.throws(() => readConfig(missing), { code: 'configuration', message })
  t.throws(() => loadClientConfig(missing, {}), {
    message: `${message}: "dfc init" makes a configuration`,
  })
  t.throws(() => readConfig(project), {
    code: 'configuration',
    message: `${project}: cannot read the configuration: Is a directory`,
  })
  // It has no end.
  t.throws(() => readConfig('/dev/zero'), {
    message: '/dev/zero: cannot read the configuration: it is a device, and no file',
  })
  t.throws(() => readConfig(''), { message: /^the name of the configuration is empty: / })
})

t.test('refuses a password that other users can read, and advises what to do', async (t) => {
  const folder = openFolder(t)
  const file = `${folder}/dfc.conf`
  writeFileSync(file, good)
  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    chmodSync(file, mode)
    const message = `${file}: holds a password, and others can read it (mode 0${mode.toString(8)}): chmod 600 ${file}`
    t.throws(() => loadClientConfig(file, {}), { code: 'configuration', message })
    t.throws(() => loadClientConfig(file, { DFC_PASSWORD: 'x' }), { message }, 'used or not')
  }
  chmodSync(file, 0o600)
  t.equal(loadClientConfig(file, {}).password, 'secret')
  const spellings = [
    '\uFEFFpassword = "secret"',
    '"pass\\u0077ord" = "secret"',
    '"password"="secret"',
  ]
  for (const spelling of spellings) {
    const other = `${folder}/other.conf`
    const rest = good.replace('password = "secret"\n', '').replace('# who\n', '')
    writeFileSync(other, `${spelling}\n${rest}`, { mode: 0o644 })
    t.throws(() => loadClientConfig(other, {}), { message: /others can read it/ }, spelling)
  }
  const without = `${folder}/without.conf`
  writeFileSync(without, good.replace('password = "secret"\n', ''), { mode: 0o644 })
  t.equal(loadClientConfig(without, { DFC_PASSWORD: 'x' }).password, 'x', 'there is none in it')
})

t.test(
  'accepts a file of any mode in a folder that no other user can enter, and mentions it',
  async (t) => {
    const folder = openFolder(t)
    const file = `${folder}/dfc.conf`
    writeFileSync(file, good)
    chmodSync(file, 0o644)
    chmodSync(folder, 0o700)
    const said: string[] = []
    redirectNotices((line) => said.push(line))
    t.equal(loadClientConfig(file, {}).password, 'secret')
    t.equal(loadClientConfig(file, {}).password, 'secret')
    t.match(said, [/only its folder keeps others away: chmod 600/])
    t.equal(said.length, 1, 'once, however often it is read')
  },
)

/** Makes a folder that every user can enter, wherever this checkout is. */
function openFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'dfs-config-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  chmodSync(folder, 0o755)
  return folder
}

t.test(
  'a file of another owner may be readable for a group',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const file = `${openFolder(t)}/dfc.conf`
    writeFileSync(file, good)
    chownSync(file, 65_534, 65_534)
    chmodSync(file, 0o640)
    t.equal(loadClientConfig(file, {}).password, 'secret')
    chmodSync(file, 0o644)
    t.throws(() => loadClientConfig(file, {}), { message: /others can read it \(mode 0644\)/ })
  },
)

t.test('no shipped configuration has a user or a password', async (t) => {
  const shipped = resolve(project, 'config/dfc.conf.sample')
  t.throws(() => loadClientConfig(shipped, {}), {
    code: 'configuration',
    message: /user: expected/,
  })
  const file = resolve(project, 'config/dfs.conf.sample')
  t.equal(parseServerConfig(readConfig(file), file, parseVerifier).users.size, 0)
  const client = parseClientConfig(
    readConfig(shipped).replace('#user = "..."', 'user = "a"').replace('#password', 'password'),
    shipped,
    {},
  )
  t.same(
    client.servers.map(({ name, address }) => `${name} ${address.port}`),
    ['DFS1 10001', 'DFS2 10002', 'DFS3 10003', 'DFS4 10004'],
  )
})
