import t from 'tap'
import { RecentRegisters } from '../../../src/dfs/index/recent-registers.js'
import { limits } from '../../../src/limits.js'

const version = '1'.repeat(24)

t.test('keeps a copy of a value, whatever becomes of the memory that it came in', async (t) => {
  const recent = new RecentRegisters()
  const value = Buffer.from('value')
  recent.set('i1', { version, value })
  value.fill(0)
  t.same(recent.get('i1'), { version, value: Buffer.from('value') })
})

t.test('forgets what a large value has replaced', async (t) => {
  const recent = new RecentRegisters()
  recent.set('i1', { version, value: null })
  recent.set('i1', { version, value: Buffer.alloc(limits.recentValueBytesMax + 1) })
  t.equal(recent.get('i1'), undefined)
})

t.test('forgets some that were stored longest ago when there are too many', async (t) => {
  const recent = new RecentRegisters()
  for (let ino = 0; ino <= limits.recentRegistersMax; ino += 1) {
    recent.set(`i${ino}`, { version, value: null })
  }
  t.equal(recent.get('i0'), undefined)
  t.ok(recent.get(`i${limits.recentRegistersMax / 2}`))
})
