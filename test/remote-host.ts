import t from 'tap'
import { hostOf } from '../src/remote-host.js'

t.test('an address of IPv4 is a host, also inside one of IPv6', async (t) => {
  t.equal(hostOf('192.0.2.7:4711'), '192.0.2.7')
  t.equal(hostOf('::ffff:192.0.2.7:4711'), '192.0.2.7')
  t.equal(hostOf('::ffff:c000:207:4711'), '192.0.2.7')
  t.not(hostOf('192.0.2.8:4711'), hostOf('192.0.2.7:4711'))
})

t.test('what has the first 64 bits of an address of IPv6 in common is one host', async (t) => {
  const host = '2001:db8:0:1::/64'
  for (const address of [
    '2001:db8:0:1::1',
    '2001:db8:0:1:ffff:ffff:ffff:ffff',
    '2001:0db8:0000:0001:a:b:c:d',
    '2001:db8:0:1:2::',
    '2001:DB8:0:1::192.0.2.7',
  ]) {
    t.equal(hostOf(`${address}:4711`), host, address)
  }
  for (const other of ['2001:db8:0:2::1', '2001:db8::1', '2001:db8:1:1::1']) {
    t.not(hostOf(`${other}:4711`), host, other)
  }
  t.equal(hostOf('::1:4711'), '0:0:0:0::/64')
  t.not(hostOf('fe80::1%eth0:4711'), hostOf('fe80::1%eth1:4711'), 'two links are two networks')
})

t.test('what cannot be read is a host as well', async (t) => {
  for (const odd of ['?:?', '', ':', '::', 'x:y:z']) t.type(hostOf(odd), 'string')
})
