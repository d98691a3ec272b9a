/** What programs expect of a file system, tried with the ordinary tools of a shell in a real mount. */
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

/** Each runs in a folder of its own: what it does, the script, what it prints. */
const cases: readonly (readonly [what: string, script: string, prints: string])[] = [
  ['keeps what is written', 'echo hello > f; cat f', 'hello'],
  ['appends', 'echo a >> f; echo b >> f; echo c >> f; cat f', 'a\nb\nc'],
  ['copies a file', 'cp /etc/services s; cmp s /etc/services && echo same', 'same'],
  [
    'copies a tree',
    'mkdir -p src/a/b && echo 1 > src/a/b/x && ln -s x src/a/b/l; cp -r src dst; diff -r src dst && readlink dst/a/b/l',
    'x',
  ],
  [
    'cp -p keeps time, mode and owner',
    'echo x > f; touch -d "2001-02-03 04:05:06.789012345" f; chmod 640 f; cp -p f g; stat -c "%y %a %u" g',
    '2001-02-03 04:05:06.789012345 +0000 640 0',
  ],
  ['moves', 'echo 1 > a; mkdir d; mv a d/b; ls; ls d; cat d/b', 'd\nb\n1'],
  ['moves a folder with what is in it', 'mkdir -p a/b; echo 1 > a/b/c; mv a z; cat z/b/c', '1'],
  ['replaces by a move', 'echo 1 > a; echo 2 > b; mv a b; ls; cat b', 'b\n1'],
  [
    'refuses to move a folder into itself',
    'mkdir -p a/b; mv a a/b 2>&1 | grep -o "subdirectory of itself"',
    'subdirectory of itself',
  ],
  ['removes a tree', 'mkdir -p a/b/c; touch a/x a/b/y a/b/c/z; rm -r a; ls', ''],
  [
    'refuses to remove a folder that is not empty',
    'mkdir a; touch a/b; rmdir a 2>/dev/null; ls',
    'a',
  ],
  [
    'makes folders on the way',
    'mkdir -p a/b/c/d && find . | sort',
    '.\n./a\n./a/b\n./a/b/c\n./a/b/c/d',
  ],
  ['counts subfolders as links', 'mkdir a a/b a/c; stat -c %h a', '4'],
  ['touch -d sets a time', 'touch -d @12345.678 f; stat -c %.9Y f', '12345.678000000'],
  ['touch makes a time before 1970', 'touch -d @-5.5 f; stat -c %.9Y f', '-5.500000000'],
  [
    'chmod changes the mode',
    'touch f; chmod 4751 f; stat -c %a f; chmod u-s f; stat -c %a f',
    '4751\n751',
  ],
  ['chown changes the owner', 'touch f; chown 12:34 f; stat -c %u:%g f', '12:34'],
  ['respects the umask', 'umask 027; touch f; mkdir d; stat -c %a f d', '640\n750'],
  [
    'a set-group-ID folder passes on its group',
    'mkdir d; chgrp 77 d; chmod g+s d; touch d/f; mkdir d/e; stat -c "%g %a" d/f d/e',
    '77 644\n77 2755',
  ],
  [
    'truncate cuts and lengthens',
    'echo 123456789 > f; truncate -s 4 f; cat f; echo; truncate -s 6 f; od -c f | head -1',
    '1234\n0000000   1   2   3   4  \\0  \\0',
  ],
  ['head -c takes a part', 'head -c 100000 /dev/zero > f; head -c 70000 f | wc -c', '70000'],
  [
    'dd writes in the middle',
    'printf 0123456789 > f; printf ab | dd of=f bs=1 seek=4 conv=notrunc status=none; cat f',
    '0123ab6789',
  ],
  [
    'a sparse file takes no room',
    'truncate -s 100M f; echo end >> f; [ $(du -k f | cut -f1) -lt 100 ] && tail -c 4 f',
    'end',
  ],
  [
    'punches holes',
    'head -c 1000000 /dev/zero | tr "\\0" x > f; fallocate -p -o 100 -l 800000 f; tr -d "\\0" < f | wc -c',
    '200000',
  ],
  [
    'symbolic links lead on',
    'mkdir d; echo 1 > d/f; ln -s d/f l; cat l; readlink l; stat -c %s l',
    '1\nd/f\n3',
  ],
  [
    'hard links share their content',
    'echo 1 > a; ln a b; echo 2 >> b; cat a; stat -c %h a; rm a; sleep 1.2; stat -c %h b',
    '1\n2\n2\n1',
  ],
  [
    'appends to both names of a file meet',
    'echo 1 > a; ln a b; for i in 1 2 3; do echo a >> a; echo b >> b; done; tr -d "\\n" < a',
    '1ababab',
  ],
  [
    'lists more than a page',
    'mkdir d; cd d; seq 1 500 | xargs touch; ls | wc -l; ls -f | sort -u | wc -l',
    '500\n502',
  ],
  [
    'ls -l shows sizes and names',
    'printf 12345 > "a b"; ls -l | tail -1 | sed -E "s/ +/ /g" | cut -d" " -f5,9-',
    '5 a b',
  ],
  [
    'finds by kind',
    'mkdir d; touch f; ln -s f l; mkfifo p; find . -type d; find . -type f; find . -type l; find . -type p',
    '.\n./d\n./f\n./l\n./p',
  ],
  [
    'greps through a tree',
    'mkdir -p a/b; echo needle > a/b/f; echo hay > a/g; grep -r needle .',
    './a/b/f:needle',
  ],
  [
    'tar writes and reads',
    'mkdir d; echo 1 > d/f; ln -s f d/l; tar cf t.tar d; mkdir e; tar xf t.tar -C e; diff -r d e/d && tar tf t.tar | wc -l',
    '3',
  ],
  [
    'du counts what is there',
    'head -c 1000000 /etc/passwd /dev/zero > f 2>/dev/null; [ $(du -k f | cut -f1) -ge 976 ] && echo enough',
    'enough',
  ],
  [
    'df knows how much room there is',
    '[ $(df --output=size . | tail -1) -gt 1000 ] && df --output=source . | tail -1',
    'dfs:alice',
  ],
  [
    'names may hold anything but a slash',
    'touch -- "$(printf "a\\nb")" "ü ☃ 名" "-x" "a\\\\b"; ls -b',
    '-x\na\\nb\na\\\\b\nü\\ ☃\\ 名',
  ],
  [
    'a name has at most 255 bytes',
    'n=$(head -c 255 /dev/zero | tr "\\0" n); touch $n && touch n$n 2>&1 | grep -o "File name too long"',
    'File name too long',
  ],
  [
    'names are bytes',
    'n=$(printf "caf\\351"); echo x > "$n"; mkdir d; mv "$n" "d/$n"; ln -s "$n" d/l; tar cf t.tar d; tar xf t.tar -C ..; cat "../d/$n" ../d/l; ls d | od -An -c | tr -d " "; rm -r ../d',
    'x\nx\ncaf351\\nl\\n',
  ],
  [
    'a name of 255 bytes that are no UTF-8 is a name, and one of 256 is not',
    'n=$(head -c 255 /dev/zero | tr "\\0" "\\351"); touch "$n" && ls | wc -c && touch "x$n" 2>&1 | grep -o "too long"',
    '256\ntoo long',
  ],
  [
    'times beyond what is kept are cut',
    'touch -d @99999999999999999 f; stat -c %Y f; touch -d @-99999999999 f; stat -c %Y f',
    '15032385535\n-2147483648',
  ],
  ['an open file outlives its name', 'echo 1 > f; exec 3< f; rm f; ls; cat <&3', '1'],
  [
    'a folder can go although a file in it was open',
    'mkdir d; echo 1 > d/f; exec 3< d/f; rm d/f; rmdir d; ls; read -r line <&3; echo $line',
    '1',
  ],
  ['exclusive creation happens once', 'set -C; echo 1 > f; echo 2 2>/dev/null > f || cat f', '1'],
  [
    'what is missing is not found',
    'cat none 2>&1 | grep -o "No such file"; ls none/x 2>&1 | grep -o "No such file"',
    'No such file\nNo such file',
  ],
  [
    'a file is no folder',
    'touch f; ls f/x 2>&1 | grep -o "Not a directory"; mkdir f 2>&1 | grep -o "File exists"',
    'Not a directory\nFile exists',
  ],
  ['mknod makes other kinds', 'mknod n c 1 3; stat -c "%F %t,%T" n', 'character special file 1,3'],
  ['flock excludes', 'flock f -c "flock -n f echo no || echo yes"', 'yes'],
]

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')

for (const [index, [what, script, prints]] of cases.entries()) {
  t.test(what, async (t) => {
    const { out, problems } = await mount.sh(`mkdir t${index} && cd t${index} && { ${script}\n}`)
    t.equal(out.trimEnd(), prints, problems)
  })
}

t.test('big files come back as they were', async (t) => {
  for (const mebibytes of [1, 32, 33, 100]) {
    const made = await mount.out(
      `head -c ${mebibytes}M /dev/urandom > ${mounts.path('big')}; cp ${mounts.path('big')} big;
       sync big; cmp big ${mounts.path('big')}; dd if=big bs=1M iflag=direct status=none | cmp - ${mounts.path('big')};
       stat -c %s big; rm big`,
    )
    t.equal(made, String(mebibytes * 1024 * 1024))
  }
})

t.test('what begins with a few bytes and goes on with many comes back as it was', async (t) => {
  for (const first of [100, 4096, 20_000, 100_000, 600_000]) {
    const same = await mount.out(
      `{ head -c ${first} /dev/urandom; head -c 70M /dev/urandom; } > ${mounts.path('mixed')}
       { dd bs=${first} count=1 status=none iflag=fullblock; dd bs=1M status=none iflag=fullblock; } < ${mounts.path('mixed')} > f
       dd if=f bs=1M iflag=direct status=none | cmp - ${mounts.path('mixed')} && cmp f ${mounts.path('mixed')} && echo same; rm f`,
    )
    t.equal(same, 'same', `${first} bytes, and then others`)
  }
})

t.test('two programs write two halves of one file', async (t) => {
  const script = `head -c 4M /dev/urandom > ${mounts.path('half')}
    dd if=${mounts.path('half')} of=f bs=64k count=32 conv=notrunc status=none &
    dd if=${mounts.path('half')} of=f bs=64k skip=32 seek=32 conv=notrunc status=none; wait
    cmp f ${mounts.path('half')} && echo same`
  t.equal(await mount.out(script), 'same')
})

t.test('leaves nothing hidden behind', async (t) => {
  t.equal(await mount.out('find . -name ".fuse_hidden*"'), '')
})

t.test('ends with the signal and says so', async (t) => {
  t.equal(await mount.end('SIGTERM'), 0)
  t.match(mount.said.join(''), /SIGTERM: storing everything/)
})
