/**
 * The segments that an upload of a large file has stored, noted on this machine until the file is. An upload that was
 * interrupted, or killed, is gone on with and sends none of these segments again. The servers keep segments without a file for a day.
 * A record is about one local file as it was, by its number, size and times; whether its bytes are those of a segment
 * shows the MD5 of what is read.
 */
import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { appendFile, mkdir, readdir, readFile, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import type { Client } from '../../dfc/client.js'
import type { UploadRecord } from '../../dfc/content/upload.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { stateHome } from '../../state-home.js'
import type { Segment } from '../../wire/records.js'

const hexDigits = /^[0-9a-f]{32}$/
const line = v.object({
  id: v.pipe(v.string(), v.regex(hexDigits)),
  md5: v.pipe(v.string(), v.regex(hexDigits)),
  length: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(limits.segmentBytesMax)),
  storedMs: v.number(),
})

export class LocalUploadRecord implements UploadRecord {
  readonly #client: Client
  readonly #path: string
  readonly #found: ReadonlyMap<string, Segment>
  /** Segments of the record that this upload refers to. */
  readonly #used = new Map<string, Segment>()
  #isKept: boolean

  private constructor(client: Client, path: string, found: readonly Segment[]) {
    this.#client = client
    this.#path = path
    this.#found = new Map(found.map((segment) => [nameOf(segment.md5, segment.length), segment]))
    this.#isKept = found.length > 0
  }

  /** Opens the record of a file that is to be stored; undefined for one that is too small to be interrupted. */
  static async open(client: Client, info: BigIntStats): Promise<LocalUploadRecord | undefined> {
    if (info.size <= BigInt(limits.segmentBytesMax)) return undefined
    const folder = join(stateHome(), 'uploads')
    const path = join(folder, digestOf(client, info))
    const segments = await recorded(path)
    if (segments.length === 0) await removeOld(folder)
    return new LocalUploadRecord(client, path, await client.content.storedTwice(segments))
  }

  find(md5: string, length: number): Segment | undefined {
    const segment = this.#found.get(nameOf(md5, length))
    if (segment !== undefined) this.#used.set(segment.id, segment)
    return segment
  }

  /** Notes a stored segment. Where that is not possible, a later upload sends it again. */
  async note({ id, md5, length }: Segment): Promise<void> {
    try {
      if (!this.#isKept) await mkdir(join(this.#path, '..'), { recursive: true, mode: 0o700 })
      this.#isKept = true
      const text = `${JSON.stringify({ id, md5, length, storedMs: Date.now() })}\n`
      await appendFile(this.#path, text, { mode: 0o600 })
    } catch (error) {
      debugDfc('%s: %o', this.#path, error)
    }
  }

  /** Whether the servers still have what was found. Must be asked before a commit refers to it. */
  async isStillStored(): Promise<boolean> {
    const used = [...this.#used.values()]
    return (await this.#client.content.storedTwice(used)).length === used.length
  }

  /** Removes the record: the file is stored, or the record is wrong. */
  async remove(): Promise<void> {
    if (this.#isKept) await unlink(this.#path).catch(() => undefined)
  }
}

function nameOf(md5: string, length: number): string {
  return `${md5} ${length}`
}

function digestOf({ cluster }: Client, { dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  const { user } = cluster.config
  const words = [cluster.id, user, dev, ino, size, mtimeNs, ctimeNs]
  return createHash('sha256').update(words.join(' ')).digest('hex').slice(0, 32)
}

/** The segments of a record that are young enough for the servers to keep them for as long as an upload takes. */
async function recorded(path: string): Promise<readonly Segment[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const oldestMs = Date.now() - limits.abandonedPieceGraceMs / 2
  return text.split('\n').flatMap((one) => {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), line), one)
    // The last line may be half of one.
    if (!parsed.success || parsed.output.storedMs < oldestMs) return []
    const { id, md5, length } = parsed.output
    return [{ id, md5, length }]
  })
}

/** Removes records of which the servers have nothing any more. */
async function removeOld(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    const path = join(folder, name)
    const info = await stat(path).catch(() => undefined)
    const ageMs = Date.now() - (info?.mtimeMs ?? Date.now())
    if (ageMs > limits.abandonedPieceGraceMs) await unlink(path).catch(() => undefined)
  }
}
