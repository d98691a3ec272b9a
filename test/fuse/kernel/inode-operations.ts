/** The example file system of the inode interface, in real mounts. */
import { resolve } from 'node:path'
import t from 'tap'
import { noMounts, startProgram } from '../../fixtures/fuse-program.js'
import { outputOfNode } from '../../fixtures/mortal.js'

const program = 'examples/memory.js'

t.test('the example file system can be used', { skip: noMounts }, async (t) => {
  const memory = await startProgram(t, program)
  const { out, problems } = await memory.sh(`
    set -e
    echo hello >file; cat file
    mkdir -p a/b; mv file a/b/moved; cat a/b/moved
    ln a/b/moved hard; stat -c '%h %s' hard
    ln -s a/b/moved soft; readlink soft; cat soft
    printf ' world' >>hard; cat a/b/moved
    truncate -s 3 hard; cat hard; echo
    chmod 640 hard; touch -d @12345 hard; stat -c '%a %Y' hard
    : >hard; stat -c %s hard
    rm hard soft; ls -R
    cp /bin/sh a/sh; cmp /bin/sh a/sh && echo same`)
  t.equal(problems, '')
  t.equal(
    out,
    [
      ...['hello', 'hello', '2 6', 'a/b/moved', 'hello', 'hello', ' worldhel'],
      ...['640 12345', '0', '.:', 'a', '', './a:', 'b', '', './a/b:', 'moved', 'same', ''],
    ].join('\n'),
  )
})

t.test(
  'a folder of many names is listed, and emptied while it is read',
  { skip: noMounts },
  async (t) => {
    const memory = await startProgram(t, program)
    const { out, problems } = await memory.sh(`
    set -e
    mkdir many; cd many
    seq -f '%0100g' 3000 | xargs touch
    ls -a | head -n 2; ls | wc -l; ls -l | wc -l
    cd ..; rm -r many; ls`)
    t.equal(problems, '')
    t.equal(out, '.\n..\n3000\n3001\n')
  },
)

t.test('what is thrown is what programs are told', { skip: noMounts }, async (t) => {
  const memory = await startProgram(t, program)
  const failures = {
    'cat nothing': /No such file or directory/,
    'mkdir a; mkdir a': /File exists/,
    'mkdir -p b/c; rmdir b': /Directory not empty/,
    'mkfifo pipe; mv pipe pipe/x': /Not a directory/,
  }
  for (const [line, expected] of Object.entries(failures)) {
    const { status, problems } = await memory.sh(line)
    t.not(status, 0, line)
    t.match(problems, expected, line)
  }
})

t.test('programs see the names as the bytes they are', { skip: noMounts }, async (t) => {
  const memory = await startProgram(t, program)
  const { out, problems } = await memory.sh(
    `printf x >"$(printf 'caf\\351')"; ls | od -An -c; cat caf*`,
  )
  t.equal(problems, '')
  t.match(out, /c {3}a {3}f 351/)
  t.ok(out.endsWith('x'))
})

t.test('it works in a Node that reads no devices as streams', { skip: noMounts }, async (t) => {
  const strict = resolve(import.meta.dirname, '../../fixtures/strict-sockets.js')
  const memory = await startProgram(t, program, '--import', strict)
  const { out, problems } = await memory.sh(`
    set -e
    cp /bin/sh sh; cmp /bin/sh sh && echo same
    for n in 1 2 3 4 5 6 7 8; do (for m in 1 2 3 4 5 6 7 8; do echo $n >f$n-$m; cat f$n-$m; done) & done; wait
    ls | wc -l`)
  t.equal(problems, '')
  t.match(out, /^same\n/)
  t.match(out, /\n65\n$/)
  const threads = await strictThreads(strict)
  t.equal(threads, 'false\n', 'and it was found out that it does not')
  t.equal(await memory.end(), 0)
})

function strictThreads(strict: string): Promise<string> {
  const internals = resolve(import.meta.dirname, '../../../src/fuse/kernel/node-internals.js')
  const script = `import { canStreamDevices } from '${internals}'; console.log(await canStreamDevices())`
  const words = ['--import', strict, '--input-type=module', '-e', script]
  return outputOfNode(words)
}

t.test('it ends with its process, and by unmounting', { skip: noMounts }, async (t) => {
  const first = await startProgram(t, program)
  t.equal(await first.end(), 0)
  const { out } = await first.sh('ls | wc -l')
  t.equal(out, '0\n', 'nothing is mounted')
})
