/** Tests of what a mount has answered and cannot store at once: servers that are away, and another client meanwhile. */
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { withQuota } from '../../src/dfs/users/users-text.js'
import { limits } from '../../src/limits.js'
import { rootIno } from '../../src/wire/records.js'
import { openClient } from '../fixtures/library.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { isMounted, shell, type TestMount, TestMounts } from '../fixtures/mount.js'
import type { Outcome } from '../fixtures/outcome.js'
import { startServerProcesses, type TestServers, until } from '../fixtures/servers.js'
import { fillDisk, mountSmallDisk, noSmallDisk } from '../fixtures/small-disk.js'

const dfc = resolve(import.meta.dirname, '../../../bin/dfc')
const all = [0, 1, 2, 3]
const attemptsMax = 5

t.setTimeout(180_000)

interface Place {
  readonly servers: TestServers
  readonly mounts: TestMounts
  readonly mount: TestMount
}

async function place(t: Test, ...options: readonly string[]): Promise<Place> {
  const servers = await startServerProcesses(t)
  const mounts = new TestMounts(t, servers.config())
  const mount = await mounts.start('mnt', ...options)
  return { servers, mounts, mount }
}

/** Calls were not answered within a lease, which servers that are stopped do not renew: this machine is too slow now. */
class TooSlow extends Error {}

/** Runs `scenario` in a place of its own; in another one when this machine was too slow. */
async function inPlace(t: Test, scenario: (here: Place) => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const here = await place(t)
    try {
      await scenario(here)
      return
    } catch (error) {
      if (!(error instanceof TooSlow) || attempt === attemptsMax) throw error
      t.comment(`too slow for a lease: ${error.message}`)
      await here.servers.close()
      await kill(here)
    }
  }
}

/** A Node program in the mount that waits at several points, and the words that it has printed. */
class Waiting {
  readonly printed: Promise<string>
  readonly name: string
  readonly #mounts: TestMounts

  /** In the script, `wait(word)` waits for `go(word)`, `tell(word)` resolves `told(word)`. */
  constructor({ mounts, mount }: Place, script: string, name = 'program') {
    this.name = name
    this.#mounts = mounts
    const beginning = `const fs = require('node:fs')
      const place = process.argv[1]
      const tell = (word) => fs.writeFileSync(place + word, '')
      const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
      const wait = (word) => { while (!fs.existsSync(place + word)) pause() }
      // Those for which Node has no name.
      const unnamed = { [-116]: 'ESTALE', [-122]: 'EDQUOT' }
      const outcome = (call) => { try { call(); return 'ok' } catch ({ code, errno }) { return unnamed[errno] ?? code } }
      tell('begun')\n`
    this.printed = mount.node(beginning + script, this.#path(''))
    // It may fail before it is waited for.
    this.printed.catch(() => {})
  }

  go(word: string): void {
    writeFileSync(this.#path(word), '')
  }

  told(word: string, withinMs?: number): Promise<void> {
    return until(() => this.hasTold(word), withinMs)
  }

  hasTold(word: string): boolean {
    return existsSync(this.#path(word))
  }

  #path(word: string): string {
    return this.#mounts.path(`${this.name}-${word}`)
  }
}

function signalAll(servers: TestServers, signal: NodeJS.Signals): void {
  for (const index of all) servers.signal(index, signal)
}

/** Resolves when the program has its answers, which it gets while no server answers. Throws `TooSlow`. */
async function answerWithoutServers({ servers }: Place, program: Waiting): Promise<void> {
  await program.told('begun')
  signalAll(servers, 'SIGSTOP')
  program.go('frozen')
  const answered = [program.told('answered', 5_000), program.printed]
  await Promise.race(answered).catch(({ message }: Error) => {
    throw new TooSlow(message)
  })
}

/** Ends all servers, with what had been sent to them and was not read, and starts them again. */
async function restart(servers: TestServers): Promise<void> {
  await servers.kill(...all)
  for (const index of all) await servers.start(index)
}

/** Ends the mount as kill -9 does. */
async function kill({ mount }: Place): Promise<void> {
  mount.process.kill('SIGKILL')
  await until(() => !isMounted(mount.mountpoint))
}

/** Makes changes that are answered while no server answers, then kills the mount and starts the servers anew. */
async function answerAndKill(here: Place, changes: string): Promise<void> {
  const program = new Waiting(here, `wait('frozen')\n${changes}\ntell('answered')`)
  await answerWithoutServers(here, program)
  await kill(here)
  await program.printed
  await restart(here.servers)
}

function status({ mounts }: Place, ...options: readonly string[]): Promise<Outcome> {
  return shell(`${dfc} status ${options.join(' ')}`, mounts.path('.'), mounts.environment)
}

/** The paths of what is kept in the mount's recovery folder. */
function kept({ mounts }: Place): string[] {
  const states = mounts.path('state/dfs')
  const state = readdirSync(states).find((name) => name.startsWith('mnt-')) ?? ''
  const folder = join(states, state, 'recovery')
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
}

t.test('dfc status names what a killed mount has answered and not stored', (t) =>
  inPlace(t, async (here) => {
    const { mount, mounts } = here
    await mount.out('echo before > old; mkdir folder; sync')
    await answerAndKill(
      here,
      `fs.writeFileSync('new', 'content')
     fs.renameSync('old', 'folder/moved')`,
    )
    const before = await status(here)
    t.equal(before.status, 1, before.out)
    t.match(before.out, /journal-1: \d changes that a mount answered and has not stored; mount on/)
    const { leftByMounts } = JSON.parse((await status(here, '--json')).out)
    t.match(leftByMounts, [{ path: /^\/.*\.journal-1$/, what: /^\d changes/, todo: /^mount/ }])
    const again = await mounts.start('mnt')
    t.equal(await again.out('cat new folder/moved; ls'), 'contentbefore\nfolder\nnew')
    const after = await status(here, '--wait', '30s')
    t.equal(after.status, 0, after.out)
    t.same(kept(here), [])
  }),
)

t.test('of a journal that the local disk has damaged the rest is stored', (t) =>
  inPlace(t, async (here) => {
    const { mount, mounts } = here
    await mount.out('touch before; ls; sync')
    await answerAndKill(
      here,
      `fs.writeFileSync('first', 'kept')
     fs.writeFileSync('second', 'x'.repeat(1000))
     fs.mkdirSync('third')`,
    )
    const [journal = ''] = journals(here)
    const bytes = readFileSync(journal)
    bytes[bytes.indexOf('xxx')] = 0x79
    writeFileSync(journal, bytes)
    const again = await mounts.start('mnt')
    t.equal(await again.out('cat first second; ls'), 'keptbefore\nfirst\nsecond\nthird')
    t.match(again.said.join(''), /error \d+ bytes of .*journal-1 are damaged/)
    t.ok(readFileSync(`${journal}.damaged`).equals(bytes))
    const { status: code, out } = await status(here)
    t.equal(code, 1)
    t.match(out, `${journal}.damaged: a damaged journal of a mount`)
    rmSync(`${journal}.damaged`)
    t.equal((await status(here, '--wait', '30s')).status, 0)
  }),
)

t.test('what another client made impossible is kept, and every call says so', (t) =>
  inPlace(t, async (here) => {
    const { servers, mount } = here
    await mount.out('echo before > shared; echo before > waiting; echo before > closed; sync')
    const program = new Waiting(
      here,
      `const names = ['shared', 'waiting', 'closed']
     const files = names.map((name) => fs.openSync(name, 'r+'))
     const folder = fs.openSync('.', 'r')
     wait('frozen')
     for (const name of names) fs.writeFileSync(name, 'mine, ' + name)
     tell('answered')
     wait('blocked')
     tell('asking')
     let during
     do during = outcome(() => fs.fsyncSync(files[1]))
     while (during === 'EIO' || during === 'EROFS')
     wait('given up')
     const results = [
       during,
       outcome(() => fs.fsyncSync(files[0])),
       outcome(() => fs.fsyncSync(files[0])),
       outcome(() => fs.closeSync(files[2])),
       outcome(() => fs.fsyncSync(folder)),
       outcome(() => fs.fsyncSync(folder)),
     ]
     console.log(results.join(' '))`,
    )
    await answerWithoutServers(here, program)
    mount.process.kill('SIGSTOP')
    await restart(servers)
    const other = await openClient(t, servers)
    await until(() => other.cluster.voters.length === 4)
    for (const name of ['shared', 'waiting', 'closed']) {
      const { ino } = await other.namespace.names.lookup(rootIno, name)
      await other.namespace.update(ino, (inode) => ({ ...inode, uid: 7 }))
    }
    await other.close()
    program.go('blocked')
    await program.told('asking')
    await sleep(50)
    mount.process.kill('SIGCONT')
    await until(() => (mount.said.join('').match(/discarded/g)?.length ?? 0) >= 3)
    program.go('given up')
    t.equal(await program.printed, 'ESTALE ESTALE ok ESTALE ESTALE ok')
    const contents = kept(here).map((path) => readFileSync(path, 'utf8'))
    t.same(contents.sort(), ['mine, closed', 'mine, shared', 'mine, waiting'])
    t.equal(
      await mount.out('cat shared waiting closed; stat -c %u shared'),
      `${'before\n'.repeat(3)}7`,
    )
    const { status: code, out } = await status(here)
    t.equal(code, 1)
    for (const path of kept(here))
      t.match(out, `${path}: content of a file that could not be stored`)
  }),
)

t.test('what was answered is not missing while another way to store it is tried', (t) =>
  inPlace(t, async (here) => {
    const { servers, mount } = here
    await mount.out('touch before; ls; sync')
    const program = new Waiting(
      here,
      `const names = Array.from({ length: 60 }, (_, index) => 'file ' + index)
     wait('frozen')
     for (const name of names) fs.writeFileSync(name, name)
     tell('answered')
     const wrong = new Set()
     while (!fs.existsSync(place + 'stored')) {
       for (const name of names) {
         try {
           if (fs.readFileSync(name, 'utf8') !== name) wrong.add(name)
           if (!fs.readdirSync('.').includes(name)) wrong.add(name)
         } catch ({ code }) {
           if (code !== 'EIO') wrong.add(name + ' ' + code)
         }
       }
     }
     console.log([...wrong].join())`,
    )
    await answerWithoutServers(here, program)
    mount.process.kill('SIGSTOP')
    await restart(servers)
    const other = await openClient(t, servers)
    await until(() => other.cluster.voters.length === 4)
    // All of the answered changes rely on the folder, and none of them on its mode.
    await other.namespace.update(rootIno, (inode) => ({ ...inode, mode: inode.mode ^ 0o010 }))
    await other.close()
    mount.process.kill('SIGCONT')
    await until(() => journalBytes(here).every((bytes) => bytes === 0), 20_000)
    program.go('stored')
    t.equal(await program.printed, '')
    t.same(kept(here), [])
  }),
)

t.test('what was impossible when it was stored by the next mount is kept', (t) =>
  inPlace(t, async (here) => {
    const { servers, mount, mounts } = here
    await mount.out('echo before > shared; echo before > moved; sync')
    await answerAndKill(
      here,
      `fs.writeFileSync('shared', 'mine')
     fs.writeFileSync('mine too', 'also mine')
     fs.renameSync('moved', 'elsewhere')`,
    )
    const other = await openClient(t, servers)
    await until(() => other.cluster.voters.length === 4)
    const { ino } = await other.namespace.names.lookup(rootIno, 'shared')
    await other.namespace.update(ino, (inode) => ({ ...inode, uid: 7 }))
    await other.close()
    const again = await mounts.start('mnt')
    await until(() => kept(here).length > 0)
    t.same(
      kept(here).map((path) => readFileSync(path, 'utf8')),
      ['mine'],
    )
    t.match(
      again.said.join(''),
      /A change of inode \d+ was answered and then discarded: another client/,
    )
    t.equal(
      await again.out('cat shared "mine too" elsewhere; ls'),
      'before\nalso minebefore\nelsewhere\nmine too\nshared',
    )
  }),
)

/** One call each, none of which needs another one. */
const calls: Readonly<Record<string, string>> = {
  create: "fs.closeSync(fs.openSync('made', 'w'))",
  mkdir: "fs.mkdirSync('folder')",
  rename: "fs.renameSync('old', 'moved')",
  unlink: "fs.unlinkSync('gone')",
  rmdir: "fs.rmdirSync('empty')",
  write: "fs.writeFileSync('written', 'new')",
  chmod: "fs.chmodSync('changed', 0o600)",
}

const setUp = 'mkdir empty; touch old gone written changed; sync'

/** Returns the names of the calls that the mount answers while no server does. */
async function answeredEarly(t: Test, here: Place): Promise<readonly string[]> {
  const programs = Object.entries(calls).map(
    ([name, call]) =>
      new Waiting(here, `wait('frozen'); ${call}; tell('answered'); console.log('${name}')`, name),
  )
  for (const program of programs) await program.told('begun')
  signalAll(here.servers, 'SIGSTOP')
  for (const program of programs) program.go('frozen')
  await sleep(400)
  const early = programs.filter((program) => program.hasTold('answered')).map(({ name }) => name)
  signalAll(here.servers, 'SIGCONT')
  t.same(await Promise.all(programs.map(({ printed }) => printed)), Object.keys(calls))
  return early
}

/** Throws `TooSlow` unless the mount answers all calls while no server does. */
async function answerAllEarly(t: Test, here: Place): Promise<void> {
  const early = await answeredEarly(t, here)
  if (early.length < Object.keys(calls).length) throw new TooSlow(`answered: ${early.join(', ')}`)
}

t.test('a mount that is alone answers all of these at once', (t) =>
  inPlace(t, async (here) => {
    await here.mount.out(`${setUp}; ls`)
    await answerAllEarly(t, here)
  }),
)

t.test('a prompt of dfc at which nothing is typed does not keep a mount from that', (t) =>
  inPlace(t, async (here) => {
    const { mount, mounts } = here
    await mount.out(`${setUp}; ls`)
    const prompt = spawnMortal(dfc, [], { cwd: mounts.path('.'), env: mounts.environment })
    let printed = ''
    prompt.stdout?.on('data', (text: Buffer) => {
      printed += text.toString()
    })
    const list = async (name: string): Promise<void> => {
      prompt.stdin?.write('list\n')
      await until(() => printed.includes(name))
    }
    await list('written')
    // It gives up its connections, and the mount asks for its lease again.
    await sleep(limits.promptIdleMs + 500)
    await mount.out('touch again; sleep 0.5; rm again; ls -l . empty')
    await answerAllEarly(t, here)
    await list('moved')
    prompt.stdin?.end('exit\n')
    const [status] = await once(prompt, 'exit')
    t.equal(status, 0)
  }),
)

for (const option of ['sync', 'dirsync']) {
  t.test(`with -o ${option} nothing is answered that is not stored`, async (t) => {
    const here = await place(t, '-o', option)
    await here.mount.out(`${setUp}; ls`)
    t.same(await answeredEarly(t, here), [])
  })
}

t.test('with two mounts nothing is answered that is not stored', async (t) => {
  const here = await place(t)
  const other = await here.mounts.start('other')
  await here.mount.out(`${setUp}; ls`)
  await other.out('ls -l; touch there; ls')
  await here.mount.out('ls')
  t.same(await answeredEarly(t, here), [])
  t.equal(await other.out('ls; cat written'), 'changed\nfolder\nmade\nmoved\nthere\nwritten\nnew')
})

/** Changes that are answered early, and what `seen` shows after them. */
const many = `for i in 1 2 3 4 5 6 7 8; do
    echo $i > f$i; mkdir d$i; mv f$i d$i/g; ln d$i/g h$i; chmod 600 h$i
  done; rm h1; rmdir d8 2>/dev/null; ln -s x link`
const seen = 'for i in d*; do cat $i/g; done; stat -c %n:%a:%h h*; readlink link; ls | wc -l'
const wanted = [
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
  ...[2, 3, 4, 5, 6, 7, 8].map((i) => `h${i}:600:2`),
  'x',
  16,
].join('\n')

t.test('fsync, a sync of a folder, unmount and dfc find everything stored', async (t) => {
  const here = await place(t)
  const { servers, mounts, mount } = here
  const script = 'const fs = require("node:fs"); fs.fsyncSync(fs.openSync(process.argv[1], "r"))'
  const node = `'${process.execPath}' -e '${script}'`
  const ends: Readonly<Record<string, string>> = {
    file: `${node} h2`,
    folder: `${node} d3`,
    dfc: `${dfc} list -l /dfc >/dev/null`,
  }
  for (const [name, end] of Object.entries(ends)) {
    await mount.out(`mkdir ${name}; cd ${name}; ${many}; ${end}`)
    t.same(journalBytes(here), [0], name)
  }
  await mount.out(`mkdir unmount; cd unmount; ${many}`)
  t.equal(await mount.end(), 0)
  t.same(journalBytes(here), [], 'unmount')
  await restart(servers)
  const again = await mounts.start('mnt')
  for (const name of [...Object.keys(ends), 'unmount']) {
    t.equal(await again.out(`cd ${name}; ${seen}`), wanted, name)
  }
})

/** The sizes of the journals of all mounts: 0 where everything is stored. */
function journalBytes(here: Place, state?: string): number[] {
  return journals(here, state).map((path) => statSync(path).size)
}

/** The paths of the journals of all mounts. */
function journals({ mounts }: Place, state = 'state'): string[] {
  const folder = mounts.path(`${state}/dfs/journals`)
  return readdirSync(folder).flatMap((account) =>
    readdirSync(join(folder, account)).map((name) => join(folder, account, name)),
  )
}

t.test('what was answered before the quota was lowered is kept', (t) =>
  inPlace(t, async (here) => {
    const { servers, mount } = here
    await mount.out('echo before > file; echo before > other; sync')
    const program = new Waiting(
      here,
      `const file = fs.openSync('file', 'r+')
     wait('frozen')
     fs.writeFileSync('file', 'mine'.repeat(10000))
     tell('answered')
     wait('given up')
     console.log(outcome(() => fs.fsyncSync(file)), outcome(() => fs.fsyncSync(file)))`,
    )
    await answerWithoutServers(here, program)
    mount.process.kill('SIGSTOP')
    await servers.kill(...all)
    servers.configure((users) => withQuota(users, 'dfs.conf', 'alice', '4K'))
    for (const index of all) await servers.start(index)
    mount.process.kill('SIGCONT')
    await until(() => mount.said.join('').includes('discarded'))
    program.go('given up')
    t.equal(await program.printed, 'EDQUOT ok')
    t.same(
      kept(here).map((path) => readFileSync(path, 'utf8')),
      ['mine'.repeat(10000)],
    )
    t.equal(await mount.out('cat file other'), 'before\nbefore')
    t.match(mount.said.join(''), /discarded: Quota exceeded/)
    t.equal((await status(here)).status, 1)
  }),
)
t.test(
  'a mount whose local disk is full works, and answers what is stored',
  { skip: noSmallDisk },
  async (t) => {
    const servers = await startServerProcesses(t)
    const mounts = new TestMounts(t, servers.config())
    const state = mounts.folder('small')
    t.teardown(mountSmallDisk(state, '2m'))
    const mount = await mounts.startWith({ XDG_STATE_HOME: state }, 'mnt')
    const here = { servers, mounts, mount }
    await mount.out(`${setUp}; ls`)
    // A page that the journal has already could be written still.
    await until(() => journalBytes(here, 'small').every((bytes) => bytes === 0))
    fillDisk(join(state, 'filling'))
    t.same(await answeredEarly(t, here), [])
    t.equal(await mount.out('ls; cat written'), 'changed\nfolder\nmade\nmoved\nwritten\nnew')
    t.equal(await mount.end(), 0)
    const again = await mounts.startWith({ XDG_STATE_HOME: state }, 'mnt')
    t.equal(await again.out('echo more > other; cat other written'), 'more\nnew')
    rmSync(join(state, 'filling'))
  },
)
