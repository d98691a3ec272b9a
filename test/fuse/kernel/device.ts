import { resolve } from 'node:path'
import t from 'tap'
import { canStreamDevices } from '../../../src/fuse/kernel/node-internals.js'
import { outputOfNode } from '../../fixtures/mortal.js'

const folder = resolve(import.meta.dirname, '../../../src/fuse/kernel')

/** How a device is read: by the trick of node-internals.ts, and without it. */
const ways = { 'in the event loop': false, 'in threads': true }

/** What a program prints that reads a device, with every deprecated part of Node forbidden. */
function outputOf(script: string): Promise<string> {
  const words = ['--pending-deprecation', '--throw-deprecation', '--input-type=module']
  return outputOfNode([...words, '-e', script])
}

for (const [way, readInThreads] of Object.entries(ways)) {
  const opening = `
    import { openSync } from 'node:fs'
    import { execFileSync } from 'node:child_process'
    import { Device } from '${folder}/device.js'
    const trace = Object.assign(console.log, { enabled: true })
    const how = { trace, readInThreads: ${readInThreads} }`

  t.test(`reads a device ${way}, by nothing that Node is going to drop`, async (t) => {
    const script = `${opening}
      const device = new Device(openSync('/dev/random', 'r'), {
        ...how,
        onRequest({ length }) {
          device.close()
          console.log(length > 0)
        },
        onEnd() { console.log('end') },
      })`
    t.equal(await outputOf(script), 'true\nend\n')
  })

  t.test(`takes one after the other ${way}, waits in between, and pauses`, async (t) => {
    const script = `${opening}
      const { writeSync, constants } = await import('node:fs')
      const pipe = execFileSync('sh', ['-c', 'd=$(mktemp -d) && mkfifo $d/pipe && printf %s $d/pipe']).toString()
      const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
      const writer = openSync(pipe, 'w')
      execFileSync('rm', ['-r', pipe.replace(/.pipe$/, '')])
      const seen = []
      const keeps = []
      const device = new Device(reader, {
        ...how,
        onRequest(bytes, keep) {
          seen.push(bytes.toString())
          if (seen.length === 1) {
            keeps.push([bytes, keep()])
            setTimeout(() => writeSync(writer, 'b'), 300)
          }
          if (seen.length === 2) {
            device.pause()
            writeSync(writer, 'c')
            setTimeout(() => { console.log(seen.join()); device.resume() }, 300)
          }
          if (seen.length === 3) {
            console.log(seen.join(), keeps[0][0].toString())
            setTimeout(() => process.exit(), 100)
          }
        },
        onEnd() { console.log('end') },
      })
      writeSync(writer, 'a')`
    const began = performance.now()
    t.equal(await outputOf(script), 'a,b\na,b,c a\n')
    t.ok(
      performance.now() - began < 10_000,
      'a thread that waits does not keep the process from its end',
    )
  })
}

t.test('whether Node reads devices as streams is found out by reading one', async (t) => {
  t.equal(
    await canStreamDevices(),
    true,
    'this Node does: if not, mounts are slower than they could be',
  )
})
