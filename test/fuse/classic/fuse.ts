/** The interface of fuse-native, in real mounts and in a program's hands. */
import { resolve } from 'node:path'
import t from 'tap'
import { noMounts, startProgram } from '../../fixtures/fuse-program.js'
import { outputOfNode, temporaryFolder } from '../../fixtures/mortal.js'

const mounting = { skip: noMounts }
const passedOn = 'test/fixtures/passed-on.js'
const project = resolve(import.meta.dirname, '../../../..')

t.test('the smallest file system can be read', mounting, async (t) => {
  const hello = await startProgram(t, 'examples/hello.js')
  const { out, problems } = await hello.sh(`
    ls; cat greeting; dd if=greeting bs=1 skip=6 count=5 status=none; echo; stat -c '%s %F' . greeting
    cat nothing; echo x >greeting; mkdir a`)
  t.equal(
    out,
    ['greeting', 'hello world', 'world', '4096 directory', '12 regular file', ''].join('\n'),
  )
  t.match(problems, /nothing: No such file/)
  t.match(problems, /mkdir: .*Function not implemented/)
  t.equal(await hello.end(), 0)
})

t.test('every operation reaches the file system with what it needs', mounting, async (t) => {
  // Nobody but root may give files away.
  const isRoot = process.getuid?.() === 0
  const owner = isRoot ? '12:34' : `${process.getuid?.()}:${process.getgid?.()}`
  const group = isRoot ? '56' : String(process.getgid?.())
  const program = await startProgram(t, passedOn)
  const { out, problems } = await program.sh(`
    set -e
    echo hello >file; cat file; echo more >>file; cat file
    mkdir -p a/b; mv file a/b/moved; cat a/b/moved
    ln a/b/moved hard; stat -c %h hard
    ln -s a/b/moved soft; readlink soft; cat soft
    truncate -s 3 hard; cat hard; echo
    chmod 640 hard; chown ${owner} hard; stat -c '%a %u:%g' hard
    chown :${group} hard; stat -c '%u:%g' hard
    touch -d '2001-02-03 04:05:06.789 UTC' hard; stat -c '%X %Y' hard
    touch -m -d @99 hard; stat -c '%X %Y' hard
    rm hard; ls -R
    cp /bin/sh sh; cmp /bin/sh sh && echo same; dd if=/dev/zero of=sh bs=1 count=0 conv=fsync status=none
    test -x a && test ! -e nothing && df . >/dev/null
    mv sh a/b/moved; ls; ls a/b; rm -r a soft; ls | wc -l`)
  t.equal(problems, '')
  const lines = [
    'hello',
    'hello',
    'more',
    'hello',
    'more',
    '2',
    'a/b/moved',
    'hello',
    'more',
    'hel',
  ]
  lines.push(
    `640 ${owner}`,
    `${owner.split(':')[0]}:${group}`,
    '981173106 981173106',
    '981173106 99',
  )
  lines.push('.:', 'a', 'soft', '', './a:', 'b', '', './a/b:', 'moved')
  lines.push('same', 'a', 'soft', 'moved', '0', '')
  t.equal(out, lines.join('\n'))
  t.match(program.said(), /^init\n/)
  t.match(program.said(), /fsync \/sh 0\n/)
  t.match(program.said(), /flush \/file number\n/)
})

t.test(
  'a file that is open is hidden when its name goes, until it is closed',
  mounting,
  async (t) => {
    const program = await startProgram(t, passedOn)
    const { out, problems } = await program.sh(`
    echo one >file; exec 5<>file; rm file; ls -A | cut -c 1-12; echo two >>/dev/fd/5; cat <&5; exec 5<&-
    sleep 0.5; ls -A
    echo old >target; exec 6<target; echo new >source; mv source target; cat target; cat <&6; exec 6<&-
    sleep 0.5; ls -A
    echo mine >.fuse_hidden-mine; cat .fuse_hidden-mine; ls -A | wc -l`)
    t.equal(problems, '')
    const lines = ['.fuse_hidden', 'one', 'two', 'new', 'old', 'target', 'mine', '2', '']
    t.equal(out, lines.join('\n'))
  },
)

t.test('extended attributes come back as they were set', mounting, async (t) => {
  const program = await startProgram(t, passedOn)
  const script = `
import os
open('f', 'w').close()
os.setxattr('f', 'user.a', b'x' * 1000)
os.setxattr('f', 'user.b', b'')
print(sorted(os.listxattr('f')), len(os.getxattr('f', 'user.a')), os.getxattr('f', 'user.b'))
os.removexattr('f', 'user.b')
for act in (lambda: os.getxattr('f', 'user.b'), lambda: os.setxattr('f', 'user.a', b'', os.XATTR_CREATE)):
  try: act()
  except OSError as error: print(error.errno)
`
  const { out, problems } = await program.sh(`exec python3 -c '${script.replaceAll("'", `'\\''`)}'`)
  if (problems.includes('python3: not found')) t.comment('no python3 on this machine')
  else t.equal(out, "['user.a', 'user.b'] 1000 b''\n61\n17\n", problems)
})

/** Runs a program of CommonJS in the project; its mountpoint is in `mnt`, which it takes off by itself. */
async function outputOf(script: string): Promise<string> {
  const opening = `
    const Fuse = require('dfs-pairs/fuse-native')
    const fs = require('fs'), path = require('path')
    const home = '${temporaryFolder('dfs-fuse-')}', mnt = path.join(home, 'mnt')
    fs.mkdirSync(mnt)
    process.on('exit', () => fs.rmSync(home, { recursive: true }))
    const stat = { mode: 0o100644, size: 3 }, folder = { mode: 0o040755 }
    const getattr = (path, cb) => process.nextTick(cb, 0, path === '/' ? folder : stat)
    const said = (error) => console.log(error ? error.code ?? error.message : 'done')
    `
  return outputOfNode(['-e', opening + script], project)
}

t.test('an instance mounts once, and says why not', mounting, async (t) => {
  const out = await outputOf(`
    const fuse = new Fuse(mnt, { getattr })
    const second = new Fuse(mnt, { getattr }, { force: true })
    const nowhere = new Fuse(mnt + '/a/b', {})
    nowhere.mount((error) => { said(error)
      new Fuse(process.execPath, {}).mount((error) => { said(error)
        new Fuse(mnt, {}, { modules: 'x' }).mount((error) => { said(error)
          fuse.mount((error) => { said(error)
            second.mount((error) => { said(error)
              fs.stat(mnt + '/any', (error, found) => { console.log(found.size)
                fuse.unmount((error) => { said(error)
                  fuse.mount((error) => { said(error)
                    new Fuse(mnt + '/a/b', {}, { mkdir: true }).mount(function (error) { said(error)
                      Fuse.unmount(mnt + '/a/b', (error) => { said(error)
                        Fuse.unmount(mnt + '/a/b', (error) => said(error)) }) }) }) }) }) }) }) }) }) })`)
  t.same(out.trim().split('\n'), [
    'Mountpoint does not exist',
    'Mountpoint is not a directory',
    'cannot mount: the option modules is not supported',
    'done',
    'Mountpoint in use',
    '3',
    'done',
    'was unmounted: make another instance',
    'done',
    'done',
    'EBUSY',
  ])
})

t.test('a dead mount is in the way without `force` only', mounting, async (t) => {
  const out = await outputOf(`
    const { spawnSync } = require('child_process')
    const dying = "const Fuse = require('dfs-pairs/fuse-native'); new Fuse(" + JSON.stringify(mnt) + ").mount(() => process.exit())"
    spawnSync(process.execPath, ['-e', dying], { stdio: 'inherit' })
    new Fuse(mnt, { getattr }).mount((error) => { said(error)
      const fuse = new Fuse(mnt, { getattr }, { force: true })
      fuse.mount((error) => { said(error); fuse.unmount(said) }) })`)
  t.equal(out, 'ENOTCONN\ndone\ndone\n')
})

t.test('with autoUnmount nothing is left of a program that dies', mounting, async (t) => {
  const out = await outputOf(`
    const { spawnSync } = require('child_process')
    const dying = "const Fuse = require('dfs-pairs/fuse-native'); new Fuse(" + JSON.stringify(mnt) + ", {}, { autoUnmount: true })"
      + ".mount(() => process.kill(process.pid, 'SIGKILL'))"
    console.log(spawnSync(process.execPath, ['-e', dying], { stdio: 'inherit' }).signal)
    const look = (tries) => fs.stat(mnt, (error) => {
      if (!error || tries === 0) said(error)
      else setTimeout(look, 100, tries - 1) })
    look(50)`)
  t.equal(out, 'SIGKILL\ndone\n')
})

t.test('what takes too long, throws or says nonsense has failed', mounting, async (t) => {
  const out = await outputOf(`
    const fuse = new Fuse(mnt, {
      getattr(path, cb) {
        if (path === '/late') return
        if (path === '/thrown') throw Object.assign(new Error('no'), { code: 'EACCES', errno: -13 })
        if (path === '/bug') throw new Error('no')
        if (path === '/nonsense') return cb(-123456)
        if (path === '/positive') return cb(2)
        if (path === '/twice') { cb(0, stat); cb(Fuse.EIO) } else getattr(path, cb)
      },
      open(path, flags, cb) { cb(0, 1) },
      read(path, fd, buffer, length, position, cb) { cb(path === '/late-read' ? Fuse.EBUSY : length + 5) },
    }, { timeout: { getattr: 300, default: 5000 }, attrTimeout: 0, entryTimeout: 0 })
    fuse.mount(async () => {
      for (const name of ['late', 'thrown', 'bug', 'nonsense', 'positive', 'twice'])
        await fs.promises.stat(path.join(mnt, name)).then(() => console.log(name, 'found'), said)
      await fs.promises.readFile(path.join(mnt, 'late-read')).catch(said)
      console.log((await fs.promises.readFile(path.join(mnt, 'file'))).length)
      fuse.unmount(said)
    })`)
  const expected = [
    'ETIMEDOUT',
    'EACCES',
    'EIO',
    'EIO',
    'ENOENT',
    'twice found',
    'EBUSY',
    '3',
    'done',
  ]
  t.same(out.trim().split('\n'), expected)
})
