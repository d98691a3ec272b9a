/**
 * The lines typed at the prompt, kept between sessions in the user's state folder (XDG Base Directory Specification).
 * Lines are appended, so two sessions at once lose nothing.
 */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { debugDfc } from '../../log.js'
import { stateHome } from '../../state-home.js'

export const historyLinesMax = 1000

/** Path of the history in the user's state folder. */
export function historyFile(environment: Readonly<Record<string, string | undefined>>): string {
  return join(stateHome(environment), 'history')
}

export class History {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  /** Loads the lines, newest first, as readline expects; empty when the file is missing or unreadable. */
  load(): string[] {
    try {
      const lines = readFileSync(this.#file, 'utf8').split('\n').filter(Boolean)
      const kept = lines.slice(-historyLinesMax)
      if (lines.length > 2 * historyLinesMax) writeFileSync(this.#file, `${kept.join('\n')}\n`)
      return kept.reverse()
    } catch (error) {
      debugDfc('history: %o', error)
      return []
    }
  }

  /** Appends a line. A history that cannot be written is no reason to fail an operation. */
  append(line: string): void {
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
      appendFileSync(this.#file, `${line}\n`, { mode: 0o600 })
    } catch (error) {
      debugDfc('history: %o', error)
    }
  }
}
