/** Ordinary programs in a real mount: version control, databases, builds, archives, exercisers. */
import { resolve } from 'node:path'
import t from 'tap'
import { isInstalled } from '../fixtures/installed.js'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

interface Case {
  readonly what: string
  /** What must be installed. */
  readonly needs: readonly string[]
  readonly script: string
  readonly prints: string | RegExp
}

const exerciser = resolve(import.meta.dirname, '../../../test/fixtures/exerciser.py')

const cases: readonly Case[] = [
  {
    what: 'git commits, clones, packs, and finds everything in order',
    needs: ['git'],
    script: `git init -q a; cd a; git config user.name n; git config user.email e; git config gc.auto 0
      for i in 1 2 3 4 5 6 7 8; do mkdir -p d$i/e; seq $i 400 > d$i/e/f; done
      git add .; git commit -qm one; git mv d1 d9; echo x >> d2/e/f; git commit -qam two
      cd ..; git clone -q --no-local a b; git clone -q a c; cd b; git gc -q; git fsck --full 2>&1
      git status --short; git log --oneline | wc -l; git diff HEAD~1 --stat | tail -1; cd ../c; git status --short`,
    prints: / {0}2\n 2 files changed, 1 insertion/,
  },
  {
    what: 'npm installs a package and Node runs it',
    needs: ['npm', 'node'],
    script: `mkdir lib app; cd lib; echo '{"name":"lib","version":"1.0.0","bin":"run.js"}' > package.json
      printf '#!/usr/bin/env node\\nconsole.log("it runs")\\n' > run.js; npm pack --silent > /dev/null; cd ../app
      echo '{"name":"app","version":"1.0.0"}' > package.json
      npm install --silent --offline --no-audit --no-fund --cache ../cache ../lib/lib-1.0.0.tgz
      node_modules/.bin/lib`,
    prints: 'it runs',
  },
  {
    what: 'SQLite keeps its promises under two processes, with a journal and with WAL',
    needs: ['sqlite3'],
    script: `for mode in delete wal; do
        echo "pragma journal_mode=$mode; create table t(a, b);" | sqlite3 $mode.db
        for who in 1 2; do (for i in 1 2 3 4 5 6 7 8; do
          echo ".timeout 20000
            begin immediate; insert into t select $who, hex(randomblob(2000)) from t limit 9; insert into t values($who, $i); commit;"
        done | sqlite3 $mode.db) & done; wait
        echo "select count(*) from t where b between 1 and 8 and length(b) = 1; pragma integrity_check;" | sqlite3 $mode.db
      done`,
    prints: 'delete\n16\nok\nwal\n16\nok',
  },
  {
    what: 'rsync transfers everything once and nothing twice',
    needs: ['rsync'],
    script: `mkdir -p s/a/b; seq 1 3000 > s/a/f; ln -s f s/a/l; mkfifo s/p; chmod 4711 s/a/f; touch -d 2001-02-03 s/a/b
      rsync -aX s/ d; rsync -aXi s/ d; diff -r --no-dereference s/a d/a; stat -c "%a %Y" d/a/f d/a/b | sed "s/ .*[1-9][0-9]\\{9\\}//"`,
    prints: /^4711\n755 981158400$/,
  },
  {
    what: 'tar brings back what it took',
    needs: ['tar'],
    script: `mkdir -p s/a; seq 1 9999 > s/a/f; ln s/a/f s/a/g; ln -s f s/a/l; truncate -s 5M s/hole; chmod 600 s/a/f
      tar cSf t.tar s; mkdir d; tar xpf t.tar -C d; diff -r s d/s; tar df t.tar; stat -c "%a" d/s/a/f d/s/a/g`,
    prints: '600\n600',
  },
  {
    what: 'make builds what has changed and nothing else',
    needs: ['make', 'gcc'],
    script: `printf 'int two(void) { return 2; }\\n' > two.c
      printf '#include <stdio.h>\\nint two(void);\\nint main(void) { printf("%%d\\\\n", two()); }\\n' > main.c
      printf 'p: main.o two.o\\n\\tgcc -o p main.o two.o\\n' > Makefile; make -s; ./p; make -q && echo done
      sed -i "s/return 2/return 3/" two.c; make -s; ./p; make -q && echo done`,
    prints: '2\ndone\n3\ndone',
  },
  {
    what: 'editors save by renaming',
    needs: ['sed'],
    script: `seq 1 1000 > f; chmod 640 f; for i in $(seq 1 20); do sed -i "s/^$i\\$/x/" f; cp f f.new; mv f.new f; done
      grep -c x f; wc -l < f; stat -c %a f; ls`,
    prints: '20\n1000\n640\nf',
  },
  {
    what: 'fio reads back what it wrote, in any order and through a mapping',
    needs: ['fio'],
    script: `for engine in psync mmap; do
        fio --name=x --filename=f-$engine --ioengine=$engine --rw=randwrite --bs=4k --size=4m --verify=crc32c --verify_fatal=1 --minimal > log 2>&1 && echo good || cat log
      done`,
    prints: 'good\ngood',
  },
  {
    what: 'a file is what memory says it is, through every kind of access',
    needs: ['python3'],
    script: `for seed in 1 2 3; do python3 ${exerciser} f $seed 400 300000 || exit; done; ln f g; python3 ${exerciser} g 4 400 100000; cmp f g`,
    prints: 'as it should be\nas it should be\nas it should be\nas it should be',
  },
  {
    what: 'stress-ng finds nothing wrong',
    needs: ['stress-ng'],
    script: `for s in chmod fallocate fcntl flock fpunch fstat lockf open rename seek touch utime; do
        timeout 10 stress-ng --$s 1 --$s-ops 50 --timeout 1 --verify --temp-path . > log 2>&1 || { echo $s; grep -i fail log; }
      done; rm -f log; ls -A; echo done`,
    prints: 'done',
  },
  {
    what: 'dbench runs its load',
    needs: ['dbench'],
    script: `dbench -t 3 -c /usr/share/dbench/client.txt 1 > log 2>&1; grep -iE "error|failed" log | grep -v semaphore; grep -c ^Throughput log`,
    prints: '1',
  },
]

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')

for (const [index, { what, needs, script, prints }] of cases.entries()) {
  const missing = needs.filter((name) => !isInstalled(name))
  const skip = missing.length > 0 && `${missing.join(', ')}: not installed`
  t.test(what, { skip }, async (t) => {
    const { status, out, problems } = await mount.sh(
      `mkdir p${index} && cd p${index} && { ${script}\n}`,
    )
    t.not(status, undefined, 'it was not killed')
    t.match(
      out.trimEnd(),
      typeof prints === 'string' ? new RegExp(`^${prints}$`) : prints,
      problems,
    )
  })
}
