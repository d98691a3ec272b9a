/** The context that the operations of one run of `dfc` share, and how they report failures. */
import type { Readable } from 'node:stream'
import type { Client } from '../dfc/client.js'
import { sentenceOf, speaksForItself } from '../error-message.js'
import { debugDfc } from '../log.js'
import type { Temporaries } from './local/local-file.js'
import type { Output } from './terminal/output.js'

/** The context of an operation. */
export interface Session {
  readonly client: Client
  /** Path of the configuration. */
  readonly configFile: string
  readonly output: Output
  readonly temporaries: Temporaries
  /** Opens standard input, unless the prompt reads it. */
  readonly input: (() => Readable) | undefined
  /** Aborted when the user interrupts the operation. */
  readonly interrupted: AbortSignal
}

/** Exit status. 0: all was done. 1: something failed, and was reported. 2: defined by the operation. */
export type Status = 0 | 1 | 2

/** Runs `action` for each operand and goes on when one fails. */
export async function forEach(
  session: Session,
  operands: readonly string[],
  action: (operand: string) => Promise<unknown>,
): Promise<Status> {
  let status: Status = 0
  for (const operand of operands) {
    try {
      session.interrupted.throwIfAborted()
      await action(operand)
    } catch (error) {
      session.interrupted.throwIfAborted()
      reportAbout(session, operand, error, operands.length === 1)
      status = 1
    }
  }
  return status
}

/** Reports a failure about `name`. Some sentences stand alone when `name` was the only operand. */
export function reportAbout(session: Session, name: string, error: unknown, alone: boolean): void {
  debugDfc('%s: %o', name, error)
  const sentence = sentenceOf(error)
  if (alone && speaksForItself(error)) session.output.say(sentence)
  else session.output.problem(`${name || "''"}: ${sentence}`)
}
