import t from 'tap'
import { parseMountInfo } from '../../../src/fuse/mount/mount-table.js'

t.test('reads the lines of /proc/self/mountinfo', async (t) => {
  const text = [
    '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw',
    '36 22 0:57 / /mnt/with\\040space\\134x rw,nosuid - fuse.dfs dfs:a\\040b rw,user_id=0',
    '37 22 0:58 / /no-tags rw - tmpfs none rw',
    '',
  ].join('\n')
  t.same(parseMountInfo(text), [
    {
      id: 22,
      parent: 1,
      device: '254:0',
      mountpoint: '/',
      type: 'ext4',
      options: ['rw', 'relatime', 'rw'],
    },
    {
      id: 36,
      parent: 22,
      device: '0:57',
      mountpoint: '/mnt/with space\\x',
      type: 'fuse.dfs',
      options: ['rw', 'nosuid', 'rw', 'user_id=0'],
    },
    {
      id: 37,
      parent: 22,
      device: '0:58',
      mountpoint: '/no-tags',
      type: 'tmpfs',
      options: ['rw', 'rw'],
    },
  ])
})

t.test('other lines of mountinfo are left out', async (t) => {
  t.same(parseMountInfo('nonsense\n\n - \n'), [])
})
