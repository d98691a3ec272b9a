/** Counters of what the disk of a server could not do, for its metrics. */
import type { DfsError } from '../../errors.js'

/** Labels of failures: the disk is full, could not be read or written, or what it gave cannot be right. */
const kinds = { noSpace: 'full', disk: 'failed', damaged: 'damaged' } as const

type Kind = (typeof kinds)[keyof typeof kinds]

export class DiskErrors {
  /** All kinds are there from the beginning, so that the first failure is a rise. */
  readonly counts = new Map<Kind, number>(Object.values(kinds).map((kind) => [kind, 0]))

  /** Notes a failure, if it is one of the disk. */
  note({ code }: DfsError): void {
    if (!(code in kinds)) return
    const kind = kinds[code as keyof typeof kinds]
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
  }
}
