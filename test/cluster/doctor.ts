/** The archive of `dfc doctor` has what helps and no secret, also when nothing works. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createSocketServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { formatVerifier, makeVerifier } from '../../src/wire/scram.js'
import { UserOfDfc } from '../fixtures/client.js'
import { outcomeOf } from '../fixtures/outcome.js'
import { startServers } from '../fixtures/servers.js'

t.setTimeout(120_000)
const servers = await startServers(t)
const password = 'pass "word/+ 7'
servers.configure((users) => users.replace('"secret"', JSON.stringify(password)))
const home = join(t.testdirName, 'client')
mkdirSync(home)
const user = new UserOfDfc(join(home, 'user'), { ...servers.config(), password: 'replaced below' })
const conf = `${user.folder}.conf`
writeFileSync(
  conf,
  `# the old one was: hunter22222\n${readFileSync(conf, 'utf8').replace('"replaced below"', JSON.stringify(password))}`,
)
const verifier = await makeVerifier('another', Buffer.from('sixteen bytes !!'), 4096)
const [, salt = '', stored = '', server = ''] = formatVerifier(verifier).split(/[$:]/).slice(1)
/** As HTTP, a form and other programs write it. */
const otherForms = [
  ...['', 'a', 'ab', 'alice'].map((name) => Buffer.from(`${name}:${password}:`).toString('base64')),
  Buffer.from(`alice:${password}`).toString('base64url'),
  new URLSearchParams([['', password]]).toString().slice(1),
  encodeURIComponent(password).replaceAll(/%../g, (code) => code.toLowerCase()),
  Buffer.from(password).toString('hex').toUpperCase(),
]
const state = join(user.folder, '.local/state/dfs/mnt-1')
mkdirSync(state, { recursive: true })
writeFileSync(
  join(state, 'log'),
  `${'x'.repeat(2 * 1024 * 1024)}\na line of the log\nlogin with ${password} and ${formatVerifier(verifier)}\n` +
    `${JSON.stringify({ password })} ${encodeURIComponent(password)} ${Buffer.from(password).toString('base64')}\n` +
    `${otherForms.join('\n')}\n`,
)
writeFileSync(
  join(home, 'dfs.conf'),
  `tls = "on"\n[users.bob]\nverifier = "${formatVerifier(verifier)}"\nquota = "10G"\n[users.carol]\npassword = "clear text"\n[users]\nuser = "odd place"\n`,
  { mode: 0o600 },
)

const secrets = [
  password,
  JSON.stringify(password).slice(1, -1),
  encodeURIComponent(password),
  Buffer.from(password).toString('base64'),
  'hunter22222',
  salt,
  stored,
  server,
  'clear text',
  'odd place',
]

/** Unpacks an archive with tar(1) and returns its files by their names. */
function unpacked(archive: string): Map<string, string> {
  const folder = `${archive}.d`
  mkdirSync(folder)
  execFileSync('tar', ['-xzf', archive, '-C', folder])
  const files = new Map<string, string>()
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name)
    if (statSync(path).isFile())
      files.set(name.split('/').slice(1).join('/'), readFileSync(path, 'utf8'))
  }
  return files
}

t.test('it has configurations, status, logs and versions, and no secret', async (t) => {
  for (const secret of secrets) t.ok(secret.length > 5, 'it is one that can be looked for')
  t.match(await user.dfc('mkdir', 'd'), { status: 0 })
  const { status, out } = await user.dfc('doctor', 'a.tar.gz')
  t.equal(status, 0)
  t.match(out, /^Wrote .*a\.tar\.gz, .*:\n( {2}.*\n)+Passwords, verifiers and keys are not in it\./)
  t.equal(statSync(user.path('a.tar.gz')).mode & 0o777, 0o600)
  const files = unpacked(user.path('a.tar.gz'))
  for (const [name, text] of files) {
    for (const secret of secrets) t.notOk(text.includes(secret), `${secret} in ${name}`)
  }
  t.match(files.get(`config${conf}`), /^user = "alice"$/m)
  t.match(files.get(`config${conf}`), /^password = \(removed\)$/m)
  t.match(files.get(`config${conf}`), /^server\.3\.address = "127\.0\.0\.1:\d+"$/m)
  t.match(files.get(`config${home}/dfs.conf`), /^users\.bob\.quota = "10G"$/m)
  t.match(files.get(`config${home}/dfs.conf`), /^users\.bob\.verifier = \(removed\)$/m)
  t.match(JSON.parse(files.get('status.json') ?? ''), { complete: true })
  const log = files.get('logs/mnt-1.log') ?? ''
  for (const form of otherForms) t.notOk(log.includes(form.slice(6, -4)), form)
  t.match(log, /^a line of the log\nlogin with \(removed\) and \(removed\)\n/)
  t.match(
    files.get('versions.txt'),
    /^dfs-pairs \d.*, protocol versions? \d.*\nnode v\d+.*\nkernel .*\nfusermount3/m,
  )
  t.equal(files.get('failures.txt'), '0 mounts answer\n')
})

t.test('nothing is overwritten, and no link is followed', async (t) => {
  const before = readFileSync(user.path('a.tar.gz'))
  t.match(await user.dfc('doctor', 'a.tar.gz'), {
    status: 1,
    problems: /cannot write it: .*exists/i,
  })
  t.ok(readFileSync(user.path('a.tar.gz')).equals(before))
  symlinkSync(user.path('elsewhere'), user.path('link'))
  t.match(await user.dfc('doctor', 'link'), { status: 1 })
  t.notOk(readdirSync(user.folder).includes('elsewhere'))
})

t.test('a secret at a wrong place, or without quotes, is found as well', async (t) => {
  const wrong = join(home, 'wrong.conf')
  const misplaced = [
    'at-user-1',
    'at-timeout-2',
    'at-host-3',
    'at-url-4',
    'at-folder-5',
    'at-name-6',
  ]
  const [atUser, atTimeout, atHost, atUrl, atFolder, atName] = misplaced
  const log = join(state, 'log')
  const before = readFileSync(log, 'utf8')
  t.teardown(() => writeFileSync(log, before))
  const texts = {
    parsed: `user = "alice ${atUser}"\ntimeout = "${atTimeout}"\nmetrics = "http://x:${atUrl}@127.0.0.1:1/"\n
      recovery = "/x?${atFolder}"\n[[server]]\nname = "DFS1 ${atName}"\naddress = "x:${atHost}@127.0.0.1:1"\n`,
    unquoted: misplaced.map((secret, at) => `key${at} = ${secret} # as before\n`).join(''),
  }
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(wrong, text, { mode: 0o600 })
    writeFileSync(log, name === 'unquoted' ? `login with ${misplaced.join(' and ')}\n` : '')
    t.match(await user.dfc('--config', wrong, 'doctor', `${name}.tar.gz`), { status: 0 })
    const files = unpacked(user.path(`${name}.tar.gz`))
    t.ok(files.has(`config${wrong}`))
    for (const [file, content] of files) {
      for (const secret of misplaced)
        t.notOk(`${file}\n${content}`.includes(secret), `${secret} in ${file}`)
    }
  }
})

t.test('the metrics of this machine are in it', async (t) => {
  const metrics = createServer((request, answer) =>
    answer.end(`dfs_asked{path="${request.url}"} 1\n`),
  )
  await new Promise<void>((done) => metrics.listen(0, '127.0.0.1', done))
  t.teardown(() => metrics.close())
  const { port } = metrics.address() as AddressInfo
  const text = readFileSync(conf, 'utf8')
  writeFileSync(join(home, 'dfs.conf'), `metrics = "127.0.0.1:${port}"\n`)
  t.match(await user.dfc('doctor', 'm.tar.gz'), { status: 0 })
  t.equal(readFileSync(conf, 'utf8'), text)
  const files = unpacked(user.path('m.tar.gz'))
  t.equal(files.get(`metrics-127.0.0.1_${port}.txt`), 'dfs_asked{path="/metrics"} 1\n')
  writeFileSync(join(home, 'dfs.conf'), 'metrics = "public 192.0.2.1:80"\n')
  t.match(await user.dfc('doctor', 'n.tar.gz'), { status: 0 })
  t.match(
    [...unpacked(user.path('n.tar.gz')).values()].join(''),
    /192\.0\.2\.1:80 is not on this machine/,
  )
})

t.test('a mount that hangs keeps neither it nor what asks mounts waiting for ever', async (t) => {
  const hanging = createSocketServer(() => {})
  await new Promise<void>((resolve) => hanging.listen(join(state, 'control'), resolve))
  t.teardown(() => hanging.close())
  t.match(await user.dfc('doctor', 'hanging.tar.gz'), { status: 0 })
  t.equal(unpacked(user.path('hanging.tar.gz')).get('figures.json'), '[]\n')
  const { status, problems } = await user.dfc('top', '--once')
  t.equal(status, 1)
  t.match(problems, /no mount of alice that you have made on this machine answers/)
})

t.test('it works without a server and with a broken configuration', async (t) => {
  await servers.kill(0, 1, 2, 3)
  t.match(await user.dfc('doctor', 'down.tar.gz'), { status: 0 })
  t.match(unpacked(user.path('down.tar.gz')).get('status.json'), /down|^not there: /)
  writeFileSync(conf, `user = "alice"\npassword = ${JSON.stringify(password)} oops\n`)
  t.match(await user.dfc('doctor', 'broken.tar.gz'), { status: 0 })
  const half = user.path('half.conf')
  writeFileSync(half, 'password = "\\ud800 half a character" oops\n')
  t.match(await user.dfc('--config', half, 'doctor', 'half.tar.gz'), { status: 0 })
  const broken = unpacked(user.path('broken.tar.gz'))
  t.match(broken.get(`config${conf}`), /^cannot be parsed: .*user\.conf:2/)
  t.match(broken.get('status.json'), /^not there: .*user\.conf:2/)
  for (const [name, text] of broken) t.notOk(text.includes(password), name)
})

t.test('the password of the environment is not in it either', async (t) => {
  writeFileSync(conf, 'user = "alice"\n')
  writeFileSync(join(state, 'log'), 'login with from-outside-1\n')
  const child = user.start(['doctor', 'env.tar.gz'], { DFC_PASSWORD: 'from-outside-1' })
  t.match(await outcomeOf(child), { status: 0 })
  t.equal(unpacked(user.path('env.tar.gz')).get('logs/mnt-1.log'), 'login with (removed)\n')
})
