/**
 * The last resort for data that could not be stored: it becomes a file in a local folder, at its original offsets,
 * and a notice names that file.
 */
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../clock.js'
import type { SalvagedContent } from '../../dfc/content/salvaged-content.js'
import type { GivenUpContent } from '../../dfc/namespace/given-up.js'
import { asDfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugFuse, notice } from '../../log.js'
import { makePrivateFolder } from '../../private-file.js'
import type { Draft } from '../draft/draft.js'
import type { LastFailures } from './last-failures.js'
import type { OpenFile } from './open-file.js'

const stepBytes = limits.framePayloadBytesMax

export class RecoveryFolder {
  readonly path: string
  readonly #clock: Clock
  readonly #failures: Pick<LastFailures, 'notStored'>

  constructor(path: string, clock: Clock, failures: Pick<LastFailures, 'notStored'>) {
    this.path = path
    this.#clock = clock
    this.#failures = failures
  }

  /** Saves the draft. Throws when the local disk fails as well. `why` is the error of the servers. */
  async keep(file: OpenFile, draft: Draft, why: unknown): Promise<void> {
    const path = await this.#pathFor(file)
    const unreadable = await whole(path, (part) => writeDraft(part, draft))
    notice(
      `"${file.name}" could not be stored: ${asDfsError(why).message}. ` +
        `What was written is kept in ${path}${missingText(unreadable)}`,
      'error',
    )
    this.#failures.notStored(file, why, `; what was written is kept in ${path}`)
  }

  /**
   * Saves the whole content of a file that was answered as stored, as far as it is not gone. Throws what reading or the local
   * disk throws.
   */
  async keepContent(
    file: Pick<GivenUpContent, 'ino' | 'name' | 'why'>,
    content: SalvagedContent,
  ): Promise<void> {
    const path = await this.#pathFor(file)
    await whole(path, (part) => writeContent(part, content))
    notice(
      `"${file.name}" was answered as stored and could not be: ${file.why.message}. ` +
        `Its content is kept in ${path}${missingText(content.lostBytes)}`,
      'error',
    )
    this.#failures.notStored(file, file.why, `; its content is kept in ${path}`)
  }

  async #pathFor({ name, ino }: { readonly name: string; readonly ino: number }): Promise<string> {
    makePrivateFolder(this.path)
    const stamp = new Date(this.#clock.now()).toISOString().replaceAll(/[:.]/g, '-')
    const safeName = name.replaceAll(/[^\p{L}\p{N}._-]/gu, '_').slice(0, 60)
    return join(this.path, `${safeName}.${ino.toString(36)}.${stamp}`)
  }
}

/** Makes a file that has its name once `write` is done. One that fails leaves nothing: it is tried again each second. */
async function whole<T>(path: string, write: (part: string) => Promise<T>): Promise<T> {
  const part = `${path}.part`
  try {
    const result = await write(part)
    await rename(part, path)
    return result
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

async function writeContent(path: string, content: SalvagedContent): Promise<void> {
  const local = await open(path, 'wx', 0o600)
  try {
    for await (const bytes of content) await local.writeFile(bytes)
    await local.sync()
  } finally {
    await local.close()
  }
}

/** Writes all of the file's data to `path`. Returns the number of bytes that no server could supply. */
async function writeDraft(path: string, draft: Draft): Promise<number> {
  const local = await open(path, 'wx', 0o600)
  let unreadable = 0
  try {
    for (const { at, end } of draft.data) {
      for (let from = at; from < end; from += stepBytes) {
        const length = Math.min(stepBytes, end - from)
        try {
          await local.write(await draft.read(from, length), 0, length, from)
        } catch (thrown) {
          if (isLocal(thrown)) throw thrown
          debugFuse('recovery of %s at %d: %o', path, from, thrown)
          unreadable += length
        }
      }
    }
    await local.truncate(draft.size)
    await local.sync()
  } finally {
    await local.close()
  }
  return unreadable
}

function missingText(bytes: number): string {
  return bytes === 0 ? '' : ` (${bytes} bytes of it could not be read and are zeros there)`
}

function isLocal(thrown: unknown): boolean {
  return typeof (thrown as NodeJS.ErrnoException).syscall === 'string'
}
