import t from 'tap'
import { isOwnHost } from '../src/loopback.js'
import { parseMetricsAddress } from '../src/metrics-address.js'

t.test('a Host is that of this machine, or it is not', async (t) => {
  for (const host of [
    'localhost',
    'LOCALHOST:1',
    '127.0.0.1:80',
    '127.9.9.9',
    '[::1]:8080',
    '[::1]',
  ]) {
    t.ok(isOwnHost(host), host)
  }
  for (const host of [
    undefined,
    '',
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1:80',
    '[fe80::1]',
    'localhost:80:80',
    'localhost@evil.example',
    '0x7f.1',
  ]) {
    t.notOk(isOwnHost(host), `${host}`)
  }
})

t.test('an address for metrics is of this machine, or said to be public', async (t) => {
  t.same(parseMetricsAddress('127.0.0.1:9464'), { host: '127.0.0.1', port: 9464, isPublic: false })
  t.same(parseMetricsAddress('[::1]:0'), { host: '::1', port: 0, isPublic: false })
  t.same(parseMetricsAddress('localhost:1'), { host: 'localhost', port: 1, isPublic: false })
  t.same(parseMetricsAddress('public 0.0.0.0:9464'), {
    host: '0.0.0.0',
    port: 9464,
    isPublic: true,
  })
  t.same(parseMetricsAddress('public [::]:1'), { host: '::', port: 1, isPublic: true })
  for (const text of [
    '',
    '9464',
    ':9464',
    '0.0.0.0:9464',
    '10.1.2.3:1',
    'host:1',
    '127.0.0.1:65536',
    'public',
    '127.0.0.1',
  ]) {
    t.equal(parseMetricsAddress(text), undefined, text)
  }
})
