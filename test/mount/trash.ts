/** The trash of a mount: what programs remove, replace and cut, and what dfc brings back of it. */
import t, { type Test } from 'tap'
import { sleep, systemClock } from '../../src/clock.js'
import type { Client } from '../../src/dfc/client.js'
import { withQuota, withTrash } from '../../src/dfs/users/users-text.js'
import { attribute } from '../fixtures/attributes.js'
import { UserOfDfc } from '../fixtures/client.js'
import { checkAll, healNow, openClient } from '../fixtures/library.js'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(600_000)

const noted = `${attribute} get a/b user.note`
const acl = 'system.posix_acl_default'
/** rwx for the owner, r-x for the user 1234, the group, the mask and others, as the kernel encodes it (acl(5)). */
const readableBy1234 =
  '0x02000000' +
  '01000700ffffffff' +
  '02000500d2040000' +
  '04000500ffffffff' +
  '10000500ffffffff' +
  '20000500ffffffff'

async function begin(t: Test) {
  const servers = await startServerProcesses(t)
  // They look at each login.
  servers.configure((users) => withTrash(users, 'dfs.conf', 'alice', '7d'))
  const mounts = new TestMounts(t, servers.config())
  const user = new UserOfDfc(mounts.folder('user'), servers.config())
  return { servers, mounts, user }
}

/** The paths and the kinds of what is kept. */
async function kept(client: Client): Promise<string[]> {
  const all: string[] = []
  for await (const { kind, folder, name } of client.namespace.trash.files()) {
    all.push(`${kind} ${folder ?? '?'}/${name}`)
  }
  return all
}

t.test('what programs remove and replace is there again', async (t) => {
  const { mounts, user, servers } = await begin(t)
  const mount = await mounts.start('mnt', '-o', 'acl')
  const dfc = async (...args: readonly string[]) => {
    const { status, out, problems } = await user.dfc(...args)
    t.equal(status, 0, `${args.join(' ')}: ${problems}`)
    return out
  }

  await mount.out('mkdir -p a/b/c; head -c 200000 /dev/urandom > a/b/big; echo small > a/b/c/small')
  await mount.out(`mkdir -p a/b/empty; ${attribute} set a/b user.note 'of the folder'`)
  await mount.out(`${attribute} set a/b ${acl} ${readableBy1234}`)
  await mount.out('chmod 1770 a/b/empty; touch -d @5 a/b/empty')
  await mount.out(`${attribute} get a/b ${acl} > ../acl; cp -r a ../copy`)
  await mount.out('ln -s small a/b/c/link; rm -rf a')
  const list = await dfc('trash', 'list')
  t.match(list, / +195 KiB \/a\/b\/big\n/)
  t.match(list, /\/a\/b\/c\/small\n/)
  t.match(list, /\/a\/b\/c\/link\n/)
  t.equal((await dfc('trash', 'list', 'a/b/c/')).split('\n').length, 4, 'three lines')
  await dfc('trash', 'restore', '/a')
  await mount.out(
    'diff -r --no-dereference ../copy/b/big a/b/big; cmp ../copy/b/c/small a/b/c/small',
  )
  t.equal(await mount.out('readlink a/b/c/link; stat -c %h a/b/c/link'), 'small\n1')
  t.equal(await mount.out('stat -c "%a %Y" a/b/empty'), '1770 5')
  t.equal(await mount.out(`${noted}; ${attribute} get a/b ${acl} | cmp - ../acl`), 'of the folder')
  t.match((await user.dfc('trash', 'list')).out, /^$/)

  // One file alone comes back in the folder that it was in.
  await mount.out('rm a/b/c/small; rm -r a/b')
  await dfc('trash', 'restore', 'a/b/c/small')
  t.equal(await mount.out(`${noted}; cd a/b; find | sort | xargs`), 'of the folder. ./c ./c/small')
  await mount.out('rmdir ../copy/b/empty; mkdir ../there; mkdir there')
  t.match(await user.dfc('trash', 'restore', '/a/b/empty', '--to', 'there'), { status: 0 })
  t.equal(await mount.out('stat -c "%a" there/empty'), '1770')
  t.match(await user.dfc('trash', 'restore', '/a/b'), { status: 0 })
  t.match(await user.dfc('trash', 'list'), { out: /^$/ })
  await mount.out('mkdir alone; rmdir alone; mkdir alone')
  t.match(await user.dfc('trash', 'restore', '/alone'), {
    status: 1,
    problems: /\/alone: the name is taken: --to restores the folder elsewhere/,
  })
  t.match(await user.dfc('trash', 'restore', '/alone', '--to', 'elsewhere'), { status: 0 })
  await mount.out('mkdir sub new; chmod 700 new; mv -T sub new')
  t.match(await dfc('trash', 'list', 'new'), / \/new\/\n/, 'a folder that was replaced')
  await dfc('trash', 'empty')

  // An editor writes another file and renames it; a program cuts a file and writes it anew.
  await mount.out('echo one > text; echo two > text.new; mv text.new text')
  await sleep(systemClock, 1_100)
  const before = new Date().toISOString()
  await sleep(systemClock, 100)
  await mount.out('echo three > text; printf 4 > text; sync text')
  const versions = JSON.parse(await dfc('versions', 'text', '--json'))
  t.match(
    versions.map(({ how, size }: { how?: string; size: number }) => [how, size]),
    [
      ['removed', 4],
      ['replaced', 4],
      ['replaced', 6],
      [undefined, 1],
    ],
  )
  await dfc('get', 'text', 'then', '--at', before)
  t.equal(await mount.out('cat ../user/then'), 'two')
  await mount.out('rm text')
  await dfc('trash', 'restore', 'text', '--to', 'other')
  t.equal(await mount.out('cat other'), '4')
  t.match(await user.dfc('trash', 'restore', versions[2].id), {
    status: 1,
    problems: /a version becomes a file of its own: --to says where/,
  })
  await dfc('trash', 'restore', versions[2].id, '--to', '/old/place/')
  t.equal(await mount.out('cat old/place/text'), 'three')

  t.match(
    await dfc('status'),
    /\nTrash: 1 removed files and folders, 1 versions, 8 B, the oldest since /,
  )
  t.match(JSON.parse(await dfc('status', '--json')), {
    trash: { removed: 1, replaced: 1, bytes: 8, keptMs: 7 * 86_400_000 },
  })
  const client = await openClient(t, servers)
  t.match(await client.scheduler.heal(healNow), { left: 0 })
  t.match(await checkAll(client), { flaws: [], lost: [], missing: 0 })
})

t.test('says what is wrong with a wish', async (t) => {
  const { user } = await begin(t)
  user.write('file', 'x')
  t.equal((await user.dfc('put', 'file')).status, 0)
  const refused: readonly (readonly [line: string, problem: RegExp])[] = [
    ['trash', /too few operands: trash takes ACTION/],
    ['trash lsit', /trash lsit: expected list, restore or empty/],
    ['TRASH LIST a b', /trash LIST: too many operands/],
    ['trash restore', /trash restore: name a file/],
    ['trash restore gone', /the trash has no such file/],
    ['trash restore a b --to c', /--to goes with one name/],
    ['trash list --force', /trash list: --force does not go with it/],
    ['trash empty --older long', /--older long: expected a time such as/],
    ['trash empty --older 2999-01-01', /--older 2999-01-01: that is in the future/],
    ['versions gone', /No such file/],
    ['versions /', /Is a directory/],
    ['get file --at yesterday', /--at yesterday: expected a time such as/],
    ['get file --at 2026-02-31', /--at 2026-02-31: expected/],
    ['get -r file --at 2h', /--at fetches files, not folders/],
    ['get --resume file --at 2h', /--at fetches files into files, and goes with no other option/],
    ['get file --at 2h', /there was no such file then/],
  ]
  const { status, out } = await user.type(...refused.map(([line]) => line))
  t.equal(status, 1)
  for (const [line, problem] of refused) t.match(out, problem, line)
  t.equal((await user.dfc('rm', 'file')).status, 0)
  t.equal((await user.dfc('put', 'file')).status, 0)
  t.match(await user.dfc('trash', 'restore', 'file'), {
    status: 1,
    problems: /the name is taken/,
  })
  t.equal((await user.dfc('trash', 'restore', '-f', 'file')).status, 0)
  t.match(await user.dfc('trash', 'empty', '--older', '1d'), { out: /^Deleted 0 removed files/ })
  t.match(await user.dfc('trash', 'empty'), { out: /^Deleted 1 removed files/ })
  for (const [words, problems] of [
    [['trash', 'restore', ''], /the trash has no such file/],
    [['trash', 'empty', ''], /the trash has no such file/],
    [['versions', 'gone'], /^dfc: gone: No such file/],
    [['why', 'gone'], /^dfc: gone: No such file/],
  ] as const) {
    t.match(await user.dfc(...words), { status: 1, problems }, words.join(' '))
  }
})

t.test('what is named is removed for good, with its versions, and nothing else', async (t) => {
  const { mounts, user } = await begin(t)
  const mount = await mounts.start('mnt')
  await mount.out(`mkdir d e; for i in 1 2 3; do echo $i > d/a; echo $i > d/a; rm d/a; done`)
  await mount.out(`echo 1 > d/b; echo 2 > e/c; echo 3 > "$(printf 'caf\\351')"; rm d/b e/c caf*`)
  const paths = async (): Promise<string[]> => {
    const all = JSON.parse((await user.dfc('trash', 'list', '--all', '--json')).out)
    return all.map(
      ({ path, pathBytes }: { path: string | null; pathBytes?: string }) =>
        pathBytes ?? path ?? 'versions',
    )
  }
  t.same((await paths()).sort(), [
    ...['/d/a', '/d/a', '/d/a', '/d/b', '/e/c'],
    Buffer.from('/caf\xe9', 'latin1').toString('hex'),
    ...['versions', 'versions', 'versions'],
  ])
  t.match(await user.dfc('trash', 'empty', 'd/a', 'gone'), {
    status: 1,
    out: /^Deleted 6 removed files, folders and versions for good/,
    problems: /^dfc: gone: the trash has no such file/,
  })
  t.match(await user.dfc('trash', 'empty', '/d', '--older', '1h'), {
    status: 0,
    out: /^Deleted 0 removed/,
  })
  t.match(await user.dfc('trash', 'empty', '/d'), { status: 0, out: /^Deleted 1 removed/ })
  t.equal((await paths()).length, 2)
})

t.test('versions belong to a file also after it was restored', async (t) => {
  const { mounts, user } = await begin(t)
  const mount = await mounts.start('mnt')
  await mount.out('echo one > f; echo second > f; sync f; rm f')
  for (let time = 0; time < 2; time += 1) {
    t.match(await user.dfc('trash', 'restore', 'f'), { status: 0 })
    t.equal(
      await mount.out('cat f; python3 -c "import os; print(os.listxattr(\'f\'))"'),
      'second\n[]',
    )
    t.match((await user.dfc('versions', 'f')).out, / 4 B /, 'the first content')
    await mount.out('rm f')
  }
  t.match(await user.dfc('trash', 'empty', 'f'), { status: 0, out: /^Deleted 2 removed/ })
  t.equal((await user.dfc('trash', 'list', '--all')).out, '')
})

t.test(
  'a version that became a file of its own leaves those of the other file alone',
  async (t) => {
    const { mounts, user } = await begin(t)
    const mount = await mounts.start('mnt')
    await mount.out('echo 1 > f; echo 22 > f; echo 333 > f; sync f')
    const versions = async (name: string): Promise<{ id?: string; size: number }[]> =>
      JSON.parse((await user.dfc('versions', name, '--json')).out)
    const [first, ...others] = await versions('f')
    const { status } = await user.dfc('trash', 'restore', first?.id ?? '', '--to', 'g')
    t.equal(status, 0)
    t.equal((await versions('g')).length, 1, 'it has none itself')
    await mount.out('rm g')
    t.match(await user.dfc('trash', 'empty', 'g'), { status: 0, out: /^Deleted 1 removed/ })
    t.same(await versions('f'), others)

    // In the place of its own file it has the history of that.
    t.match(await user.dfc('trash', 'restore', others[0]?.id ?? '', '--to', 'f', '-f'), {
      status: 0,
    })
    await mount.out('echo 4444 > f; sync f; mv f moved')
    t.same(
      (await versions('moved')).map(({ size }) => size),
      [3, 5],
    )
  },
)

t.test('the folders of what is restored are as private as they were', async (t) => {
  const { mounts, user } = await begin(t)
  const mount = await mounts.start('mnt')
  await mount.out(
    'mkdir -p a/b/c other; chmod 700 a/b; chmod 2750 a/b/c; echo 1 > a/b/c/f; rm -rf a',
  )
  const restored = async (...words: readonly string[]): Promise<void> => {
    const { status, problems } = await user.dfc('trash', 'restore', ...words)
    t.equal(status, 0, problems)
  }
  const modes = (folder: string) => mount.out(`stat -c '%a %n' ${folder} | xargs`)
  await restored('/a')
  t.equal(await modes('a a/b a/b/c'), '755 a 700 a/b 2750 a/b/c')
  await mount.out('rm -rf a')
  await restored('/a/b', '--to', 'other/x')
  t.equal(await modes('other/x other/x/c'), '700 other/x 2750 other/x/c')
})

t.test('a kill takes nothing out of the trash that a removal was to put there', async (t) => {
  const { mounts, servers } = await begin(t)
  const mount = await mounts.start('mnt')
  // Small files, whose contents and removals are answered from the journal.
  await mount.out('mkdir d; for i in 1 2 3 4 5 6 7 8; do echo $i > d/$i; done; sleep 0.5')
  await mount.out('echo new > d/1; for i in 2 3 4; do rm d/$i; done; mv d/5 d/6')
  await mount.end('SIGKILL')
  await mount.close()
  const again = await mounts.start('mnt')
  t.equal(await again.out('ls d | xargs; cat d/1 d/6'), '1 6 7 8\nnew\n5')
  const client = await openClient(t, servers)
  t.same((await kept(client)).sort(), [
    'removed /d/2',
    'removed /d/3',
    'removed /d/4',
    'removed /d/6',
    'replaced ?/1',
  ])
  for await (const { name, node } of client.namespace.trash.files()) {
    const { inode } = node
    t.equal((await client.content.read(inode, 0, inode.size)).toString(), `${name}\n`)
  }
  t.match(await checkAll(client), { flaws: [], lost: [] })
})

t.test(
  'what is written or removed all the time does not become thousands of records',
  async (t) => {
    const { mounts, servers } = await begin(t)
    const mount = await mounts.start('mnt')
    await mount.out('for i in $(seq 100); do echo line $i > hot; sync hot; done')
    await mount.out('for i in $(seq 100); do echo line $i >> log; sync log; done')
    const client = await openClient(t, servers)
    const versions = (await kept(client)).filter((line) => line.endsWith('/hot'))
    t.ok(versions.length >= 10 && versions.length <= 14, `${versions.length} of 100`)
    const grown = (await kept(client)).filter((line) => line.endsWith('/log'))
    t.ok(grown.length <= 14, `${grown.length} of 100`)

    // A program that saves by a rename, and one that has a lock.
    await mount.out(
      'for i in $(seq 100); do echo $i > new; mv new state; echo > lock; sync lock; rm lock; done',
    )
    for (const name of ['state', 'lock']) {
      const removed = (await kept(client)).filter((line) => line === `removed /${name}`)
      t.ok(removed.length >= 10 && removed.length <= 14, `${removed.length} of 100 of ${name}`)
    }
  },
)

t.test('a program that meets the quota waits for the oldest of the trash to go', async (t) => {
  const { mounts, servers } = await begin(t)
  servers.configure((users) => withQuota(users, 'dfs.conf', 'alice', '24M'))
  const mount = await mounts.start('mnt')
  const client = await openClient(t, servers)
  for (const name of ['one', 'two', 'three']) {
    await mount.out(`head -c 9M /dev/urandom > ${name}; sync ${name}; rm ${name}`)
  }
  t.same((await kept(client)).slice(-1), ['removed /three'], 'the newest stays')
  await mount.out('head -c 1M /dev/urandom > kept; fallocate -l 20M all; rm all')
  const { status, problems } = await mount.sh('head -c 30M /dev/urandom > big')
  t.not(status, 0)
  t.match(problems, /Disk quota exceeded/, 'what is no trash stays')
})
