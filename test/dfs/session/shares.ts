import t from 'tap'
import { type FrameReceiver, FrameShares, UploadShares } from '../../../src/dfs/session/shares.js'
import { limits } from '../../../src/limits.js'

interface Receiver extends FrameReceiver {
  isHeldBack: boolean
}

function receiver(user: string): Receiver {
  return {
    user,
    isHeldBack: false,
    holdBack(isHeldBack) {
      this.isHeldBack = isHeldBack
    },
  }
}

t.test('holds back a user who sends too much at once, and no other', async (t) => {
  const shares = new FrameShares()
  const fitting = limits.userFrameBytesMax / limits.frameBytesMax
  const crowd = Array.from({ length: fitting + 2 }, () => receiver('mallory'))
  for (const one of crowd) shares.begin(one, limits.frameBytesMax)
  const held = (): number[] => crowd.flatMap(({ isHeldBack }, at) => (isHeldBack ? [at] : []))
  t.same(held(), [fitting, fitting + 1])
  const bob = receiver('bob')
  shares.begin(bob, limits.frameBytesMax)
  t.notOk(bob.isHeldBack)
  shares.end(crowd[0] as Receiver)
  t.same(held(), [fitting + 1], 'the one that waits longest goes on')
  shares.end(crowd[fitting + 1] as Receiver)
  t.same(held(), [], 'one that ends while it waits is not held back any more')
  for (const one of [...crowd, bob]) shares.end(one)
  shares.begin(bob, limits.frameBytesMax)
  t.notOk(bob.isHeldBack)
})

t.test('a frame that is larger than all that there is room for comes alone', async (t) => {
  const shares = new FrameShares()
  const [one, other] = [receiver('alice'), receiver('alice')]
  shares.begin(one, limits.userFrameBytesMax + 1)
  t.notOk(one.isHeldBack)
  shares.begin(other, 1)
  t.ok(other.isHeldBack)
  shares.end(one)
  t.notOk(other.isHeldBack)
})

t.test('leaves pieces for others, however many a user begins', async (t) => {
  const shares = new UploadShares(16)
  const beginAll = (user: string): number => {
    for (let count = 0; ; count += 1) {
      try {
        shares.begin(user)
      } catch (thrown) {
        t.match(thrown, { code: 'overloaded' })
        return count
      }
    }
  }
  t.equal(beginAll('mallory'), 8)
  t.equal(beginAll('malice'), 4)
  t.equal(beginAll('bob'), 2)
  shares.end('bob')
  t.equal(beginAll('bob'), 1)
  for (let count = 0; count < 8; count += 1) shares.end('mallory')
  t.equal(beginAll('bob'), 4, 'half of what the others leave')
})
