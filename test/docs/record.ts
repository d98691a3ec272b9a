/** npm run recording: runs the session of README on this machine, as root, and draws docs/images/session.svg anew. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './documents.js'
import { drawn } from './recording.js'
import { recordSession, steps } from './session.js'

const session = await recordSession()
for (const [index, { says, status, command }] of steps.entries()) {
  const went = session[index]
  const text = went?.outputs.map((output) => output.text).join('') ?? ''
  if (went?.status !== status || !says.test(text))
    throw new Error(`${command}: ended with ${went?.status}: ${text}`)
}
writeFileSync(join(root, 'docs/images/session.svg'), drawn(session))
