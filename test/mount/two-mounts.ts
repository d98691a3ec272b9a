/** Two mounts of one user: what is closed in one is what an open sees in the other. */
import t from 'tap'
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

t.test('a replaced file is the new one, also for who has just read the old one', async (t) => {
  const script = `echo old > $A/r; cat $B/r; echo newer > $A/n; mv $A/n $A/r; cat $B/r`
  t.equal(await out(script), 'old\nnewer')
})

t.test('appends of both follow each other', async (t) => {
  const script = `for i in 1 2 3 4 5; do echo a$i >> $A/log; echo b$i >> $B/log; done; tr '\\n' ' ' < $B/log`
  t.equal(await out(script), 'a1 b1 a2 b2 a3 b3 a4 b4 a5 b5')
})

t.test('tail -f follows what the other mount appends', async (t) => {
  const script = `echo 1 > $A/tail; (sleep 0.5; echo 2 >> $A/tail; sleep 0.3; echo 3 >> $A/tail) &
    timeout 40 tail -n +1 -f $B/tail | head -n 3 | tr '\\n' ' '; wait`
  t.equal(await out(script), '1 2 3')
})

t.test('of two exclusive creations one succeeds', async (t) => {
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
