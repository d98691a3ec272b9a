/** Canaries: whether this Node still does what src/node-internals.ts makes use of, and what happens if not. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { resolve } from 'node:path'
import koffi from 'koffi'
import t from 'tap'
import { compiled, pagedMemory, receiveInto } from '../src/node-internals.js'
import { type Codec, encode } from '../src/wire/codec.js'
import { messages, type Verb } from '../src/wire/messages.js'
import { outputOfNode } from './fixtures/mortal.js'
import { samples } from './fixtures/samples.js'
import { Seeded } from './fixtures/seeded.js'

const folder = import.meta.dirname

/** What a program prints in a Node with other words on its command line. */
function outputOf(words: readonly string[], script: string): Promise<string> {
  return outputOfNode([...words, '--input-type=module', '-e', script])
}

t.test('an accepted socket receives into memory of ours', async (t) => {
  const memory = Buffer.alloc(1000)
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const received = Promise.withResolvers<boolean>()
  const isPossible = receiveInto(accepted, {
    buffer: () => memory,
    callback(count, bytes) {
      received.resolve(bytes.buffer === memory.buffer && memory.toString('utf8', 0, count) === 'hi')
      return true
    },
  })
  t.ok(isPossible)
  accepted.resume()
  client.write('hi')
  t.ok(await received.promise)
  accepted.end('bye')
  const [answer] = (await once(client, 'data')) as [Buffer]
  t.equal(answer.toString(), 'bye')
  client.destroy()
  server.close()
  await once(server, 'close')
})

t.test('where it cannot, servers receive into other memory', async (t) => {
  const strict = resolve(folder, 'fixtures/strict-sockets.js')
  const script = `
    import { tcpNetwork } from '${folder}/../src/network.js'
    const sent = Buffer.alloc(3_000_000, 'abc')
    const parts = []
    const events = { data() {}, closed() {}, drained() {} }
    const listener = await tcpNetwork.listen({ host: '127.0.0.1', port: 0 }, (accepted) => ({
      ...events,
      buffer: () => { throw new Error('nothing is to be received there') },
      data(bytes) {
        parts.push(Buffer.from(bytes))
        if (Buffer.concat(parts).length < sent.length) return
        console.log(Buffer.concat(parts).equals(sent))
        accepted.destroy()
        own.destroy()
        listener.close()
      },
    }))
    const own = await tcpNetwork.connect({ host: '127.0.0.1', port: listener.port }, 1000, events)
    own.send([sent])`
  t.equal(await outputOf(['--import', strict], script), 'true\n')
})

t.test('code is made of its source', async (t) => {
  t.equal(compiled(['a', 'b'], 'return a + b')?.(1, 2), 3)
  t.throws(() => compiled(['a'], 'return ('), SyntaxError, 'a mistake is no lack of Node')
})

t.test('where it cannot be, every message is the same', async (t) => {
  const script = `
    import { decode, encode } from '${folder}/../src/wire/codec.js'
    import { messages } from '${folder}/../src/wire/messages.js'
    import { compiled } from '${folder}/../src/node-internals.js'
    import { samples } from '${folder}/fixtures/samples.js'
    import { Seeded } from '${folder}/fixtures/seeded.js'
    const lines = [String(compiled([], ''))]
    for (const [verb, { request, reply }] of Object.entries(messages)) {
      for (const [codec, make] of [[request, samples[verb].request], [reply, samples[verb].reply]]) {
        const bytes = encode(codec, make(new Seeded(7)))
        const again = encode(codec, decode(codec, bytes))
        lines.push(verb + ' ' + bytes.toString('hex') + ' ' + again.equals(bytes))
      }
    }
    console.log(lines.join('\\n'))`
  const without = await outputOf(['--disallow-code-generation-from-strings'], script)
  const expected = ['undefined']
  for (const verb of Object.keys(messages) as Verb[]) {
    for (const direction of ['request', 'reply'] as const) {
      const codec = messages[verb][direction] as Codec<unknown>
      const value = (samples[verb][direction] as (random: Seeded) => unknown)(new Seeded(7))
      expected.push(`${verb} ${encode(codec, value).toString('hex')} true`)
    }
  }
  t.same(without.trimEnd().split('\n'), expected)
})

t.test('memory of WebAssembly begins at a page', async (t) => {
  const { buffer, isAligned } = pagedMemory(100_000)
  t.ok(isAligned)
  t.ok(buffer.byteLength >= 100_000)
  t.equal(koffi.address(buffer) % 4096n, 0n)
})

t.test('where there is none, other memory does, and nothing is read directly', async (t) => {
  const script = `
    import { PageMemory } from '${folder}/../src/memory/page-memory.js'
    const memory = new PageMemory(2)
    const buffer = memory.take()
    console.log(typeof WebAssembly, buffer.length > 4096, memory.isAligned(buffer.subarray(0, 4096)))
    memory.give(buffer)`
  t.equal(await outputOf(['--jitless'], script), 'undefined true false\n')
})
