/**
 * The system calls of test/fixtures/system-calls.py in a mount and on ext4: programs that only see what
 * comes of their calls cannot tell the two apart, but for what stands in docs/semantics.md.
 */
import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import t, { type Test } from 'tap'
import { shell, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

const program = resolve(import.meta.dirname, '../../../test/fixtures/system-calls.py')

/** Lines that differ, and why. Everything else must be the same. */
const known: readonly (readonly [line: RegExp, why: string])[] = [
  [/^error_cases: whiteout /, 'no RENAME_WHITEOUT'],
  [/^io: .* (collapse|insert) unaligned/, 'neither collapses nor inserts'],
  [/^io: .* (hole|data)/, 'holes are exact to the byte here'],
  [
    /^(ownership|permissions): .* chown -1/,
    'the kernel does not tell it from a write by a stranger',
  ],
  [/^times: open r:/, 'an open to read counts as a read where the kernel has the pages'],
  [/^times: (copy range|mmap write)/, 'the kernel does not tell of what its pages are read for'],
  [/^folders: pathconf/, 'the C library knows the limits of file systems by their type'],
  [/^io: huge /, 'lseek goes beyond the largest file'],
  [/^times: times go forward/, 'those of folders are whole milliseconds'],
  [/^times: (exchange|rename over|rename dir)/, 'clock ticks of ext4 are longer'],
]

const reasonToSkip = (): string | false => {
  if (process.getuid?.() !== 0) return 'only root may call everything'
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' })
  } catch {
    return 'python3 is not installed'
  }
  const type = execFileSync('stat', ['-f', '-c', '%T', yardstick]).toString().trim()
  return type !== 'ext2/ext3' && `the yardstick is ext4, and the folder is ${type}`
}

/** A case may be of several lines: those after the first begin with two spaces. */
function casesOf(text: string): string[] {
  const cases: string[] = []
  for (const line of text.trimEnd().split('\n')) {
    if (/^\w+: {3}/.test(line)) cases.push(`${cases.pop()}\n${line}`)
    else cases.push(line)
  }
  return cases
}

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const yardstick = mounts.folder('yardstick')
const skip = reasonToSkip()
const mount = await mounts.start('mnt', '-o', 'allow_other,acl,suid,dev')

async function compare(t: Test, ...words: readonly string[]): Promise<void> {
  // Other users must be able to walk there.
  await shell('chmod 755 .', mounts.path(''))
  const folder = `calls-${words.join('-')}`
  const script = `mkdir ${folder} && python3 ${program} ${folder} ${words.join(' ')}`
  const [there, here] = await Promise.all([shell(script, yardstick), mount.sh(script)])
  t.equal(there.problems, '')
  t.equal(here.problems, '')
  const wanted = casesOf(there.out)
  const found = casesOf(here.out)
  t.ok(wanted.length > 50, `there are ${wanted.length} cases`)
  t.equal(found.length, wanted.length, 'all were tried')
  for (const [index, line] of wanted.entries()) {
    if (found[index] === line || known.some(([pattern]) => pattern.test(line))) continue
    t.equal(found[index], line)
  }
}

t.test('what comes of a system call is what comes of it on ext4', { skip }, async (t) => {
  await compare(t, '60')
})

t.test('nothing of that changes while a server is down', { skip }, async (t) => {
  await servers.kill(2)
  await compare(
    t,
    '100',
    'error_cases',
    'permissions',
    'open_',
    'links',
    'ownership',
    'xattrs',
    'nameless',
  )
})
