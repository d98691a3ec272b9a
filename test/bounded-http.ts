import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { boundedHttpServer } from '../src/bounded-http.js'

const connectionsMax = 4

async function listening(t: Test, arrivalMs: number, asked = () => {}): Promise<Server> {
  const server = boundedHttpServer({ connectionsMax, arrivalMs }, (_request, response) => {
    asked()
    response.end('answered')
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port

/** A client that begins a request and does not end it. */
async function slow(t: Test, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
  return socket
}

t.test('answers however many slow clients there are', async (t) => {
  const server = await listening(t, 60_000)
  const clients = []
  for (let count = 0; count < 3 * connectionsMax; count += 1) {
    clients.push(await slow(t, portOf(server)))
  }
  const answer = await fetch(`http://127.0.0.1:${portOf(server)}/`)
  t.equal(await answer.text(), 'answered')
  const left = await new Promise((done) => server.getConnections((_, count) => done(count)))
  t.equal(left, connectionsMax)
})

t.test('a request has to arrive within its time, though bytes of it come', async (t) => {
  const server = await listening(t, 500)
  const client = await slow(t, portOf(server))
  const begin = performance.now()
  const drip = setInterval(() => client.write('x'), 50)
  client.resume()
  await once(client, 'close')
  clearInterval(drip)
  t.ok(performance.now() - begin < 5_000)
})

t.test('a connection that asks again and again is answered once', async (t) => {
  let asked = 0
  const server = await listening(t, 60_000, () => {
    asked += 1
  })
  const client = connect(portOf(server), '127.0.0.1').on('error', () => undefined)
  t.teardown(() => client.destroy())
  client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50))
  let text = ''
  for await (const chunk of client) {
    text += chunk
    if (text.split('HTTP/1.1 ').length > 50) break
  }
  t.equal(asked, 1)
  t.equal(text.match(/HTTP\/1\.1 503 /g)?.length, 49)
})
