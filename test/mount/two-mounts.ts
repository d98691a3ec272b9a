/** Two mounts of one user: what is closed in one is what an open sees in the other. */
import t from 'tap'
import { isInstalled } from '../fixtures/installed.js'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const [a, b] = await Promise.all([mounts.start('a'), mounts.start('b')])
const both = { A: a.mountpoint, B: b.mountpoint }
const out = (script: string): Promise<string> => a.out(script, both)

t.test('an open sees what was closed before, however soon', async (t) => {
  const script = `for i in $(seq 1 20); do
      printf %$((i * 7 % 30))s$i x > $A/f; [ "$(cat $B/f)" = "$(cat $A/f)" ] || echo stale $i
      printf %$((30 - i))s$i y > $B/f; [ "$(cat $A/f)" = "$(cat $B/f)" ] || echo stale back $i
    done`
  t.equal(await out(script), '')
})

t.test(
  'a replaced file is the new one, also for a program that has just read the old one',
  async (t) => {
    const script = `echo old > $A/r; cat $B/r; echo newer > $A/n; mv $A/n $A/r; cat $B/r`
    t.equal(await out(script), 'old\nnewer')
  },
)

t.test('appends of both follow each other', async (t) => {
  const script = `for i in 1 2 3 4 5; do echo a$i >> $A/log; echo b$i >> $B/log; done; tr '\\n' ' ' < $B/log`
  t.equal(await out(script), 'a1 b1 a2 b2 a3 b3 a4 b4 a5 b5')
})

t.test('tail -f follows what the other mount appends', async (t) => {
  const script = `echo 1 > $A/tail; (sleep 0.5; echo 2 >> $A/tail; sleep 0.3; echo 3 >> $A/tail) &
    timeout 40 tail -n +1 -f $B/tail | head -n 3 | tr '\\n' ' '; wait`
  t.equal(await out(script), '1 2 3')
})

t.test('one of two exclusive creations succeeds', async (t) => {
  const script = `for i in $(seq 1 20); do
      (mkdir $A/x$i 2>/dev/null && echo won) & (mkdir $B/x$i 2>/dev/null && echo won) & wait
    done | wc -l`
  t.equal(await out(script), '20')
})

t.test('readers see one whole version while the other mount writes', async (t) => {
  const script = `
    (for i in 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9; do
      head -c $((2000000 - i * 1000)) /dev/zero | tr '\\0' $i > $A/tmp; cat $A/tmp > $A/v
    done; touch $A/done) &
    echo > $A/v
    reader() { while [ ! -e $A/done ]; do
      cat $B/v > ${mounts.path('seen')}$1; s=$(stat -c %s ${mounts.path('seen')}$1)
      d=$(head -c 1 ${mounts.path('seen')}$1)
      [ $s -le 1 ] || [ $(tr -dc "$d" < ${mounts.path('seen')}$1 | wc -c) = $((2000000 - d * 1000)) ] || echo mixed $s $d
    done; }
    reader 1 & reader 2 & reader 3 & wait`
  t.equal(await out(script), '')
})

t.test('a name that is replaced while it is open never goes missing', async (t) => {
  const script = `echo 0 > $A/name
    (for i in $(seq 1 15); do echo $i > $A/next; (exec 3< $A/name; mv $A/next $A/name); done; touch $A/end) &
    while [ ! -e $A/end ]; do cat $B/name > /dev/null || echo missing; done; wait; cat $B/name`
  t.equal(await out(script), '15')
})

t.test('a folder that was made anew elsewhere can be used at once', async (t) => {
  const script = `mkdir $A/d; touch $A/d/1; ls $B/d; rm -r $A/d; mkdir $A/d; touch $A/d/2; touch $B/d/3; ls $A/d`
  t.equal(await out(script), '1\n2\n3')
})

/**
 * What an open means is what its name means then, whatever the kernel has been told a moment before. Each
 * runs in a folder of its own, $A of the one mount and $B of the other, and prints nothing but what is said.
 */
const names: readonly (readonly [what: string, script: string, prints: string])[] = [
  [
    'a file that was replaced while another hard link of it stays',
    `echo old > $A/conf; ln $A/conf $A/conf.bak; cat $B/conf $B/conf.bak; stat -t $B/conf $B/conf.bak > /dev/null
    echo new > $A/tmp; mv $A/tmp $A/conf; cat $B/conf; echo edited > $B/conf; cat $A/conf $A/conf.bak`,
    'old\nold\nnew\nedited\nold',
  ],
  [
    'the hard link that stays',
    `echo old > $A/conf; ln $A/conf $A/conf.bak; stat -t $B/conf $B/conf.bak > /dev/null
    echo new > $A/tmp; mv $A/tmp $A/conf; cat $B/conf.bak; echo more >> $B/conf.bak; cat $B/conf.bak $B/conf`,
    'old\nold\nmore\nnew',
  ],
  [
    'a log that was rotated',
    `echo one > $A/log; cat $B/log; mv $A/log $A/log.1; stat -t $B/log.1 > /dev/null
    echo two > $A/log; cat $B/log; echo three >> $B/log; cat $A/log.1 $A/log`,
    'one\ntwo\none\ntwo\nthree',
  ],
  [
    'names that were exchanged',
    `echo 1 > $A/a; echo 2 > $A/b; stat -t $B/a $B/b > /dev/null
    mv $A/a $A/t; mv $A/b $A/a; mv $A/t $A/b; cat $B/a $B/b`,
    '2\n1',
  ],
  [
    'a file in a folder that was moved away',
    `mkdir -p $A/d/e; echo old > $A/d/e/f; cat $B/d/e/f; mv $A/d $A/gone; mkdir -p $A/d/e; echo new > $A/d/e/f
    cat $B/d/e/f; echo edited > $B/d/e/f; cat $A/gone/e/f $A/d/e/f`,
    'old\nnew\nold\nedited',
  ],
  [
    'a folder that was moved away, and what is removed in it',
    `mkdir $A/d; echo 1 > $A/d/old; ls $B/d; mv $A/d $A/kept; mkdir $A/d; echo 2 > $A/d/new; ls $B/d
    mv $A/d $A/t; mkdir $A/d; stat -t $B/t > /dev/null; rm -r $B/d; ls $A/kept $A/t`,
    'old\nnew\n$A/kept:\nold\n\n$A/t:\nnew',
  ],
  [
    'names that are changed in a folder that was moved away',
    `mkdir $A/d; touch $A/d/f $A/d/g; stat -t $B/d/f $B/d/g > /dev/null; mv $A/d $A/kept; mkdir $A/d
    rm $B/d/f 2> /dev/null; mv $B/d/g $B/h 2> /dev/null; echo x > $B/d/new; mkdir $B/d/folder; ls $A $A/d $A/kept`,
    '$A:\nd\nkept\n\n$A/d:\nfolder\nnew\n\n$A/kept:\nf\ng',
  ],
  [
    'what is linked',
    `echo old > $A/f; ln $A/f $A/g; stat -t $B/f $B/g > /dev/null; echo new > $A/t; mv $A/t $A/f
    ln $B/f $B/h; cat $A/h`,
    'new',
  ],
]

for (const [what, script, prints] of names) {
  t.test(`an open means what the name means: ${what}`, async (t) => {
    for (const round of [1, 2, 3]) {
      const folder = `${what.replaceAll(' ', '-')}${round}`
      await out(`mkdir $A/${folder}`)
      const said = await a.out(script, {
        A: `${both.A}/${folder}`,
        B: `${both.B}/${folder}`,
      })
      t.equal(
        said.replaceAll(`${both.A}/${folder}`, () => '$A'),
        prints,
      )
    }
  })
}

const noPython = isInstalled('python3') ? false : 'python3 is not installed'

t.test('truncate(2) means what the name means', { skip: noPython }, async (t) => {
  const script = `echo "old settings" > $A/cut; ln $A/cut $A/cut.bak; stat -t $B/cut $B/cut.bak > /dev/null
    echo "new settings" > $A/t; mv $A/t $A/cut
    python3 -c 'import os, sys; os.truncate(sys.argv[1], 3)' $B/cut; cat $A/cut.bak $A/cut`
  t.equal(await out(script), 'old settings\nnew')
})

t.test('names that are too many to be looked up are looked for by the kernel', async (t) => {
  const script = `mkdir $A/many; echo old > $A/many/0; for i in $(seq 1 12); do ln $A/many/0 $A/many/$i; done
    stat -t $B/many/* > /dev/null; echo new > $A/many/t; mv $A/many/t $A/many/3
    cat $B/many/3 $B/many/4 $B/many/3; for i in $(seq 0 12); do cat $B/many/$i; done | sort | uniq -c | tr -s ' '`
  t.equal(await out(script), 'new\nold\nnew\n 1 new\n 12 old')
})
