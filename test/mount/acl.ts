/**
 * Access control lists with the programs that people use for them, in a mount with `-o acl` and in a local
 * folder: what they print and what comes of it must be the same, line by line.
 */
import t from 'tap'
import { isInstalled } from '../fixtures/installed.js'
import { shell, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

/** Users and groups need no names. `as UID GID COMMAND...` has no other groups. */
const prelude = `as() { u=$1; g=$2; shift 2; setpriv --reuid=$u --regid=$g --clear-groups -- "$@" 2>&1; }
  try() { "$@" 2>&1 && echo "$* done" || echo "$* failed"; }
  show() { for p; do stat -c '%n %A %u:%g' "$p"; getfacl -nps "$p"; getfacl -np "$p"; done; }
  umask 022; chmod 755 .; mkdir case; cd case`

interface Case {
  readonly what: string
  /** What must be installed besides setfacl and getfacl. */
  readonly needs?: readonly string[]
  readonly script: string
}

const cases: readonly Case[] = [
  {
    what: 'an access ACL is set, changed and removed, and the mode goes with it',
    script: `touch f; chmod 640 f; setfacl -m u:1001:rwx,g:2001:r f; show f; setfacl -m m::r f; show f
      setfacl -x u:1001 f; show f; setfacl -x g:2001 f; show f; setfacl -x m f; show f
      setfacl -m u::rwx,g::x,o::w f; show f; getfattr -d -m system f
      setfacl -m u:1001:rw f; setfacl -b f; show f; getfattr -d -m system f; setfacl -b f; show f`,
  },
  {
    what: 'a folder has a default ACL and passes it on',
    script: `mkdir d; setfacl -d -m u:1001:rwx,g:2001:rx d; show d
      for mask in 000 022 077; do (umask $mask; touch d/f$mask; mkdir d/d$mask; mkfifo d/p$mask; mkdir -m 700 d/m$mask
        ln -s f$mask d/l$mask; echo x > d/x$mask; install -m 751 /dev/null d/i$mask; show d/[fdpxim]$mask d/d$mask); done
      mkdir d/d022/e; touch d/d022/e/f; show d/d022/e d/d022/e/f; stat -c %A d/l*; ls -l d | tail -n +2 | cut -c1-11
      setfacl -k d; show d; (umask 077; touch d/late); show d/late; setfacl -k d; show d`,
  },
  {
    what: 'a default ACL that says no more than a mode stands in for the umask',
    script: `mkdir d; setfacl -d -m u::rwx,g::rwx,o::rx d; (umask 077; touch d/f; mkdir d/e); show d d/f d/e
      setfacl -d -m g::-,o::- d; touch d/g; mkdir d/h; show d/g d/h`,
  },
  {
    what: 'set-group-ID folders and default ACLs go together',
    script: `mkdir d; chgrp 2001 d; chmod 2775 d; setfacl -d -m g:2002:rwx d; mkdir d/e; touch d/f; show d d/e d/f`,
  },
  {
    what: 'chmod changes the mask, and not the group',
    script: `touch f; setfacl -m u:1001:rwx,g::rx f; for mode in 600 777 4711 070 000 g+w o=r u=rwx; do chmod $mode f; show f; done
      mkdir d; setfacl -m u:1001:rwx -d -m u:1002:rx d; chmod 700 d; show d; chmod 2770 d; show d`,
  },
  {
    what: 'only folders have a default ACL, and what makes no sense is refused',
    script: `touch f; ln -s f l; mkdir d; try setfacl -d -m u:1001:rwx f; try setfacl -k f; try setfacl -m u:1001:rwx l; show f
      try setfacl --set u::rw,g::r f; try setfacl -n --set u::rw,g::r,o::r,u:5:r f
      for value in 0x 0x02 0x02000000 0x01000000 0x0200000001000600ffffffff 0x020000000100060000; do
        for name in access default; do try setfattr -n system.posix_acl_$name -v $value f
        try setfattr -n system.posix_acl_$name -v $value d; done; done; show f d
      try setfattr -x system.posix_acl_access f; try setfattr -x system.posix_acl_default d`,
  },
  {
    what: 'the kernel decides by the lists',
    script: `mkdir d; echo secret > d/f; chmod 700 d; chmod 600 d/f; as 1001 1001 cat d/f; setfacl -m u:1001:x d
      as 1001 1001 cat d/f; setfacl -m u:1001:r d/f; as 1001 1001 cat d/f; as 1002 1002 cat d/f
      as 1001 1001 sh -c 'echo more >> d/f'; setfacl -m u:1001:rw d/f; as 1001 1001 sh -c 'echo more >> d/f'; cat d/f
      chmod 640 d/f; as 1001 1001 sh -c 'echo again >> d/f'; setfacl -m g:2001:rwx d; setfacl -m g:2001:r d/f
      as 1003 2001 cat d/f; as 1003 2001 touch d/g; as 1003 2001 ls d; stat -c %u:%g d/g
      setfacl -m u:1003:- d; as 1003 2001 ls d; as 1004 2001 ls d; as 1001 1001 setfacl -m u:1001:rwx d/f
      as 1003 2001 test -w d && echo writable; as 1004 2001 test -w d && echo writable
      chown 1003 d/f; setfacl -m u:1003:rwx d; as 1003 1003 setfacl -m u:1004:r d/f; show d d/f`,
  },
  {
    what: 'who is not in the group of a file takes its set-group-ID bit with an ACL',
    script: `for who in "1001 1001" "1001 2001" "0 0"; do touch f; chown 1001:2001 f; chmod 2750 f; as $who setfacl -m u:5:r f; show f
      chmod 2750 f; as $who setfacl -b f; show f; chmod 2750 f; as $who setfacl -m g::rx f; show f; rm f
      mkdir d; chown 1001:2001 d; chmod 2750 d; as $who setfacl -d -m u:5:r d; show d; as $who setfacl -m u:5:r d; show d; rmdir d; done`,
  },
  {
    what: 'lists go into the depth, through pipes, and back from a file',
    script: `all() { find d ! -type l | sort | xargs getfacl -n; }; mkdir -p d/a/b; touch d/f d/a/f d/a/b/f; ln -s f d/l; chmod 711 d/f; setfacl -R -m u:1001:rwX d; all
      setfacl -R -d -m g:2001:rX d; all > list; cat list; setfacl -R -b d; all; setfacl --restore=list; all
      getfacl -n d/f | setfacl --set-file=- d/a/f; show d/a/f; setfacl -M list d/f 2>&1; show d/f`,
  },
  {
    what: 'copies keep the lists when they are asked to',
    script: `mkdir s; echo x > s/f; setfacl -m u:1001:rwx,m::rx s/f; setfacl -d -m u:1002:rw s; mkdir s/e; cp -p s/f f1; cp s/f f2; cp -a s t
      cp --preserve=mode s/f f3; cp s/f s/g; install -m 644 s/f f4; mv f1 f5; show f5 f2 f3 f4 s/g t t/f t/e`,
  },
  {
    what: 'lists belong to the file and not to its names',
    script: `touch f; mkdir d; setfacl -m u:1001:rw f; ln f g; show g; setfacl -m u:1002:x g; show f; mv f d/h; show d/h; rm g; show d/h
      touch over; mv d/h over; show over; setfacl -d -m u:7:r d; mv d e; touch e/f; show e/f; rm over; touch over; show over`,
  },
  {
    what: 'a change of a list shows in the ctime, and nothing else does',
    script: `touch f; mkdir d; at() { stat -c '%z %y' $1 > $2; }; pause() { sleep 0.02; }
      check() { at $1 now; cut -c1-35 now | cmp -s - was.c && echo "ctime stays" || echo "ctime changes"
        cut -c37- now | cmp -s - was.m && echo "mtime stays" || echo "mtime changes"; }
      note() { at $1 was; cut -c1-35 was > was.c; cut -c37- was > was.m; pause; }
      for c in "-m u:1:r" "-m u:1:r" "-m u:1:rw" "-m g::w" "-b" "-b" "-m u::rwx"; do note f; setfacl $c f; echo "$c"; check f; done
      for c in "-d -m u:1:r" "-d -m u:1:r" "-k" "-k"; do note d; setfacl $c d; echo "$c"; check d; done
      setfacl -m u:1:r f; note f; chmod 600 f; check f; show f`,
  },
  {
    what: 'an open file is its list as well',
    script: `exec 3> f; setfacl -m u:1001:r f; echo text >&3; show f; rm f; setfacl -m u:1002:r /proc/self/fd/3
      getfacl -np /proc/self/fd/3; chmod 604 /proc/self/fd/3; getfacl -np /proc/self/fd/3; exec 3>&-; mkdir d; setfacl -d -m u:1:rw d
      exec 4> d/new; echo text >&4; show d/new; exec 4>&-; show d/new; cat d/new`,
  },
  {
    what: 'an archive brings lists back',
    needs: ['tar'],
    script: `mkdir s; touch s/f; setfacl -m u:1001:rwx,g:2001:x s/f; setfacl -d -m u:1002:r s; mkdir s/e
      tar --acls -cf t.tar s; mkdir new; tar --acls -xpf t.tar -C new; cd new; show s s/f s/e`,
  },
  {
    what: 'rsync takes lists along, and finds nothing to do the second time',
    needs: ['rsync'],
    script: `mkdir s; touch s/f; setfacl -m u:1001:rwx,g:2001:x s/f; setfacl -d -m u:1002:r s; mkdir s/e
      rsync -aA s/ t; show t t/f t/e; rsync -aAi s/ t; setfacl -m u:1001:r s/f; rsync -aAi s/ t; show t/f; setfacl -b s/f; rsync -aA s/ t; show t/f`,
  },
  {
    what: 'a list may be long',
    script: `touch f; mkdir d; for i in $(seq 2000 2290); do echo "u:$i:r"; echo "g:$i:x"; done | head -480 > list; setfacl -M list f
      getfacl -np f | wc -l; getfacl -np f | md5sum; setfacl -d -M list d; touch d/f; getfacl -np d/f | md5sum`,
  },
]

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const yardstick = mounts.folder('yardstick')

async function reasonToSkip(needs: readonly string[]): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'only root can be other users'
  const missing = ['setfacl', 'getfacl', 'getfattr', ...needs].find((name) => !isInstalled(name))
  if (missing !== undefined) return `${missing} is not installed`
  const { status } = await shell('touch probe && setfacl -m u:1:r probe && rm probe', yardstick)
  return status !== 0 && 'the folder to compare with has no ACLs'
}

const mount = await mounts.start('mnt', '-o', 'allow_other,acl')
// Other users must be able to walk there.
await shell('chmod 755 .', mounts.path(''))

for (const [index, { what, needs = [], script }] of cases.entries()) {
  t.test(what, { skip: await reasonToSkip(needs) }, async (t) => {
    const inCase = `mkdir ${index} && cd ${index} && ${prelude}\n${script}`
    const [there, here] = await Promise.all([shell(inCase, yardstick), mount.sh(inCase)])
    const wanted = there.out.split('\n')
    t.ok(wanted.length > 3, there.problems)
    t.equal(here.problems, there.problems)
    t.same(here.out.split('\n'), wanted)
  })
}

const skip = await reasonToSkip([])

t.test('lists outlive the mount, a server, and a mount without them', { skip }, async (t) => {
  await mount.out('mkdir kept; setfacl -d -m u:1001:rwx kept; touch kept/f; chmod 640 kept/f')
  const list = 'getfacl -n kept kept/f'
  const before = await mount.out(list)
  await mount.close()
  const without = await mounts.start('mnt', '-o', 'allow_other')
  t.match(await without.out('getfacl -cn kept/f'), /^user::rw-\ngroup::r--\nother::---$/)
  t.match((await without.sh('setfacl -m u:1001:r kept/f')).problems, /Operation not supported/)
  t.equal(await without.out('getfattr -d -m system kept/f'), '')
  await without.out('umask 027; touch kept/plain; chmod 600 kept/f')
  await without.close()
  await servers.kill(1)
  const again = await mounts.start('mnt', '-o', 'allow_other,acl')
  t.equal(
    await again.out(list),
    before.replace('mask::r--', 'mask::---').replaceAll('#effective:r--', '#effective:---'),
  )
  t.match(await again.out('getfacl -cn kept/plain'), /^user::rw-\ngroup::r--\nother::---$/)
  await servers.start(1)
})

t.test('a list that one mount sets is honoured in the other', { skip }, async (t) => {
  const one = await mounts.start('one', '-o', 'allow_other,acl')
  const two = await mounts.start('two', '-o', 'allow_other,acl')
  const asStranger = 'setpriv --reuid=1001 --regid=1001 --clear-groups cat shared'
  await one.out('echo text > shared; chmod 600 shared')
  t.match((await two.sh(asStranger)).problems, /Permission denied/)
  await one.out('setfacl -m u:1001:r shared')
  // The usual time that attributes may be old: a second in the kernel, one in the mount.
  await two.out('sleep 2.1')
  t.equal(await two.out(asStranger), 'text')
  await two.out('setfacl -b shared')
  await one.out('sleep 2.1')
  t.match((await one.sh(asStranger)).problems, /Permission denied/)
})
