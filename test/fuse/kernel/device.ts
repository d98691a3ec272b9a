import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const compiled = resolve(import.meta.dirname, '../../../src/fuse/kernel/device.js')

t.test('reads a device in the event loop by nothing that Node is going to drop', async (t) => {
  const script = `
    import { openSync } from 'node:fs'
    import { Device } from ${JSON.stringify(compiled)}
    const device = new Device(openSync('/dev/random', 'r'), {
      onRequest({ length }) {
        device.close()
        console.log(length > 0)
      },
      onEnd() { console.log('end') },
    })`
  const words = ['--pending-deprecation', '--throw-deprecation', '--input-type=module']
  // What runs the tests has children load what is old itself.
  const alone = ['-u', 'NODE_OPTIONS', process.execPath, ...words, '-e', script]
  const { stdout } = await promisify(execFile)('env', alone)
  t.equal(stdout, 'true\nend\n')
})
