import t from 'tap'
import {
  commonVersion,
  firstVersionOfRanges,
  isInRange,
  protocolVersions,
  versionsText,
} from '../../src/wire/protocol-versions.js'

t.test('two peers speak the highest version that both know', async (t) => {
  const range = (least: number, most: number) => ({ least, most })
  t.equal(commonVersion(range(12, 12), range(12, 12)), 12)
  t.equal(commonVersion(range(12, 13), range(12, 12)), 12)
  t.equal(commonVersion(range(12, 14), range(13, 20)), 14)
  t.equal(commonVersion(range(12, 13), range(14, 15)), undefined)
  t.equal(commonVersion(range(14, 15), range(12, 13)), undefined)
})

t.test('this program speaks a range that its hello can name', async (t) => {
  t.ok(protocolVersions.least <= protocolVersions.most)
  t.ok(protocolVersions.least >= firstVersionOfRanges)
  t.ok(isInRange(protocolVersions, protocolVersions.most))
  t.notOk(isInRange(protocolVersions, protocolVersions.most + 1))
  t.notOk(isInRange(protocolVersions, protocolVersions.least - 1))
})

t.test('a range is named for people', async (t) => {
  t.equal(versionsText({ least: 12, most: 12 }), 'version 12')
  t.equal(versionsText({ least: 12, most: 14 }), 'versions 12 to 14')
})
