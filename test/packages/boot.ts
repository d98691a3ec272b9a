/**
 * The Debian package on a machine that boots: the first hour of the manual as an administrator has it, under a real
 * systemd, with the units, the mount of fstab and its automounter, kills, power-offs and wrong configurations.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../docs/documents.js'
import { isInstalled } from '../fixtures/installed.js'
import { Machine, noMachine } from '../fixtures/machine.js'
import { temporaryFolder } from '../fixtures/mortal.js'

t.setTimeout(600_000)

const isPossible = noMachine === false && isInstalled('dpkg-deb') && isInstalled('npm')
if (!isPossible) t.plan(0, noMachine || 'dpkg-deb or npm is not installed')
else await walk()

async function walk(): Promise<void> {
  const machine = new Machine()
  const names = ['DFS1', 'DFS2', 'DFS3', 'DFS4']
  const units = names.map((name) => `dfs-server@${name}`).join(' ')
  const mounted = async (): Promise<string> =>
    await machine.out('findmnt --noheadings --output FSTYPE --types fuse.dfs /mnt/files; true')
  const property = async (unit: string, name: string): Promise<string> =>
    await machine.out(`systemctl show --property ${name} --value ${unit}`)

  await t.test('the package is installed on a machine that runs', async (t) => {
    const folder = temporaryFolder('dfs-boot-')
    const { NODE_OPTIONS: _, ...environment } = process.env
    const env = { ...environment, DPKG_DEB_COMPRESSOR_TYPE: 'none' }
    const file = execFileSync(join(root, 'scripts/deb'), [folder], { env, encoding: 'utf8' }).trim()
    copyFileSync(file, machine.path('/root/dfs-pairs.deb'))
    await machine.boot()
    await machine.out('dpkg --install dfs-pairs.deb')
    t.match(await machine.out('id dfs'), /^uid=\d+\(dfs\)/)
  })

  await t.test('servers start from the folders that init has made, also on a disk', async (t) => {
    // A folder that is mounted cannot be renamed either.
    await machine.out(`mkdir -p /srv/disk /var/lib/dfs/DFS4 /mnt/files
      echo '/srv/disk /var/lib/dfs/DFS4 none bind 0 0' >> /etc/fstab
      systemctl daemon-reload; systemctl start var-lib-dfs-DFS4.mount`)
    for (const [index, name] of names.entries()) {
      const command = `dfs-server init --user alice /var/lib/dfs/${name} 1000${index + 1}`
      const said = await machine.out(`umask 077; echo secret | ${command}`)
      t.match(said, `With systemd:  systemctl enable --now dfs-server@${name}\n`)
    }
    t.equal((await machine.sh(`systemctl enable --now ${units}`)).status, 0)
    t.equal(await machine.out('stat --format %U /var/lib/dfs/DFS1 /srv/disk'), 'dfs\ndfs')
    // The server on the loopback address has made no key so far, and has to be able to read it.
    await machine.out('dfs-server key /var/lib/dfs/DFS1')
    t.equal(await machine.out('stat --format %U /var/lib/dfs/DFS1/key.pem'), 'dfs')
    t.equal(await property('dfs-server@DFS1', 'StatusText'), 'listens on 127.0.0.1:10001')
    const servers = [1, 2, 3, 4].map((number) => `--server 127.0.0.1:1000${number}`).join(' ')
    const said = await machine.out(
      `echo secret | dfc init --user alice ${servers} --output /etc/dfs/dfc.conf --mount /mnt/files`,
    )
    const line = said.split('\n').find((each) => each.includes(' fuse.dfs ')) ?? ''
    await machine.out(`echo '${line.trim()}' >> /etc/fstab`)
    t.match(line, '/mnt/files fuse.dfs _netdev,nofail,')
  })

  await t.test(
    'the line of init in fstab mounts after a boot, and no power-off loses a file',
    async (t) => {
      await machine.off()
      await machine.boot()
      await machine.out('until findmnt --types fuse.dfs /mnt/files; do sleep 0.1; done')
      await machine.out(`systemd-run --unit writer sh -c '
        i=1; while echo $i > /mnt/files/$i; do echo $i > /root/last; i=$((i + 1)); done'`)
      await machine.out('until [ "$(cat last)" -gt 100 ]; do sleep 0.1; done')
      await machine.off()
      await machine.boot()
      await machine.out('until findmnt --types fuse.dfs /mnt/files; do sleep 0.1; done')
      t.equal(
        await machine.out('for i in $(seq "$(cat last)"); do cat /mnt/files/$i; done | tail -n 1'),
        await machine.out('cat last'),
      )
      t.equal(
        await machine.out('dfc status --wait 30s | tail -n 1'),
        'All four servers are up and complete.',
      )
      const order = await machine.out(
        'journalctl --boot=-1 --output cat --unit mnt-files.mount --unit dfs-server@DFS1',
      )
      t.match(order, /Unmounting.*Stopping dfs-server@DFS1/s, 'the servers go last')
      await machine.out('systemctl stop dfs-server@DFS3; ls /mnt/files; dfc doctor doctor.tar.gz')
      const warnings = 'journalctl --boot --output cat --priority warning --unit mnt-files.mount'
      t.match(
        await machine.out(`until ${warnings} | grep DFS3; do sleep 0.1; done`),
        'DFS3 is down',
      )
      t.match(
        await machine.out(
          'systemctl start dfs-server@DFS3; tar -xOzf doctor.tar.gz --wildcards "*/journal.txt"',
        ),
        /dfs-server.*: DFS3 listens on .*: DFS3 is down/s,
      )
    },
  )

  await t.test('an automounter mounts at the first use, and again after a kill', async (t) => {
    if (!existsSync('/dev/autofs')) return t.pass('this kernel has no automounter')
    await machine.out(`systemctl stop mnt-files.mount
      sed -i 's/_netdev,nofail/noauto,x-systemd.automount,_netdev/' /etc/fstab
      systemctl daemon-reload; systemctl start mnt-files.automount`)
    t.equal(await mounted(), '')
    t.equal(await machine.out('timeout 30 cat /mnt/files/1'), '1')
    t.equal(await mounted(), 'fuse.dfs')
    // An access before systemd has seen that the mount is gone gets ENODEV from it.
    await machine.out(`pkill --signal KILL --full '/src/fuse/[m]ain.js'
      while systemctl --quiet is-active mnt-files.mount; do sleep 0.1; done`)
    t.equal(await machine.out('timeout 30 cat /mnt/files/2'), '2')
    await machine.out(`systemctl stop mnt-files.automount mnt-files.mount
      sed -i '/mnt.files/d' /etc/fstab; systemctl daemon-reload`)
  })

  await t.test(
    'the unit of a mount mounts again after a kill, and stores everything when it stops',
    async (t) => {
      const unit = 'dfs-mount@mnt-files'
      await machine.out(`systemctl start ${unit}; echo kept > /mnt/files/kept`)
      t.equal(await property(unit, 'StatusText'), 'mounted on /mnt/files')
      await machine.out(`systemctl kill --signal KILL ${unit}
      until cat /mnt/files/kept 2> /dev/null; do sleep 0.1; done`)
      const many = 'for i in $(seq 300); do echo $i > /mnt/files/many$i; done'
      await machine.out(`${many}; (cd /mnt/files; exec sleep 60) & systemctl stop ${unit}`)
      t.equal(await mounted(), '')
      t.equal(await machine.out('dfc list | grep -c many; dfc get many300 -'), '300\n300')
    },
  )

  await t.test('a wrong configuration is said once, and not tried again', async (t) => {
    const unit = 'dfs-mount@mnt-files'
    await machine.out(
      `sed -i s/secret/wrong/ /etc/dfs/dfc.conf; echo '[' >> /var/lib/dfs/DFS1/dfs.conf`,
    )
    t.equal((await machine.sh(`systemctl start ${unit}`)).status, 1)
    t.equal((await machine.sh('systemctl restart dfs-server@DFS1')).status, 1)
    t.equal((await machine.sh('systemctl start dfs-server@DFS5')).status, 1, 'there is no DFS5')
    await new Promise((done) => setTimeout(done, 3_000))
    for (const failed of [unit, 'dfs-server@DFS1']) {
      t.equal(await property(failed, 'ActiveState'), 'failed', failed)
      t.equal(await property(failed, 'ExecMainStatus'), '78', failed)
      t.equal(await property(failed, 'NRestarts'), '0', failed)
    }
    const errors = await machine.out('journalctl --boot --priority err --output cat')
    t.match(errors, 'dfs-mount: Invalid Username/Password. Please try again.')
    t.match(errors, /dfs-server: .*DFS1\/dfs\.conf:\d+: /)
    await machine.out(`sed -i s/wrong/secret/ /etc/dfs/dfc.conf; sed -i '$d' /var/lib/dfs/DFS1/dfs.conf
      systemctl start dfs-server@DFS1 ${unit}`)
    t.equal(await machine.out('cat /mnt/files/kept'), 'kept')
  })

  await t.test(
    'an upgrade, and one back, leave everything running, and servers restart under a writer',
    async (t) => {
      // The same programs with another version, which the recipe of the manual takes one server at a time.
      await machine.out(`dpkg-deb --raw-extract dfs-pairs.deb next
        sed -i 's/^Version: .*/Version: 99.0.0/' next/DEBIAN/control
        sed -i 's/"version": ".*"/"version": "99.0.0"/' next/usr/lib/dfs-pairs/package.json
        dpkg-deb -Znone --build next next.deb; rm -r next`)
      const before = await machine.out('dfc --version')
      await machine.out(`systemd-run --unit rewriter sh -c '
        i=1; while echo $i > /mnt/files/$i && [ "$(cat /mnt/files/$i)" = $i ]
        do echo $i > /root/last; i=$((i + 1)); sleep 0.05; done'`)
      for (const [file, version, restarted] of [
        ['next', 'dfs-pairs 99.0.0', names],
        ['dfs-pairs', before, ['DFS2']],
      ] as const) {
        const running = `systemctl show --property MainPID --value ${units} dfs-mount@mnt-files`
        const processes = await machine.out(running)
        t.match(await machine.out(`dpkg --install ${file}.deb`), /restart the servers one after/)
        t.equal(await machine.out(running), processes)
        t.equal(await machine.out('dfc --version'), version)
        for (const name of restarted) {
          await machine.out(`dfc what-if --down ${name} && dfc status --wait 30s
            systemctl restart dfs-server@${name}; dfc heal`)
        }
        t.equal(await machine.out('systemctl is-active rewriter'), 'active')
      }
      await machine.out('systemctl stop rewriter; systemctl restart dfs-mount@mnt-files')
      t.equal(await machine.out('cat "/mnt/files/$(cat last)"'), await machine.out('cat last'))
      t.match(await machine.out('dfc verify'), 'Everything is as it should be')
    },
  )

  await t.test('a purge ends everything and keeps the data', async (t) => {
    await machine.out('dpkg --purge dfs-pairs')
    t.equal(await mounted(), '')
    t.equal((await machine.sh("pgrep --full 'dfs-[p]airs'")).status, 1, 'nothing runs')
    t.equal((await machine.sh('ls /etc/systemd/system/*/dfs-*')).status, 2, 'nothing is enabled')
    await machine.out('[ -e /var/lib/dfs/DFS1/dfs.conf ] && [ -e /etc/dfs/dfc.conf ]')
  })
  await machine.off()
}
