/**
 * Counters of the use of a mount: how often each operation was asked for and how long it took, by operation and by the
 * program that asked. Noting one is a few additions, since it happens with each of them.
 */
import { readFileSync } from 'node:fs'
import { errnoName, isOrdinaryErrno } from '../../errors.js'
import { Latencies, type LatencyCounts } from '../../latencies.js'
import { limits } from '../../limits.js'
import type { ErrnoFigures, OperationFigures, ProgramFigures } from '../../mount-figures.js'
import type { Request } from '../kernel/request.js'
import { nameOf } from '../kernel/session.js'

interface Operation {
  readonly latencies: Latencies
  errors: number
  failures: number
}

/** Counters of one thread of a program. */
interface Thread {
  operations: number
  tookMs: number
  readBytes: number
  writtenBytes: number
}

export class Activity {
  /** By the number of the operation. */
  readonly #operations: (Operation | undefined)[] = []
  /** By the id of the thread, as the kernel says it; those that came first are in front. */
  readonly #threads = new Map<number, Thread>()
  readonly #errnos = new Map<number, number>()
  #readBytes = 0
  #writtenBytes = 0

  /** Notes a request that was answered, with an error number or 0. */
  answered({ opcode, caller }: Request, tookMs: number, errno: number): void {
    let operation = this.#operations[opcode]
    if (operation === undefined) {
      operation = { latencies: new Latencies(), errors: 0, failures: 0 }
      this.#operations[opcode] = operation
    }
    operation.latencies.note(tookMs)
    if (errno !== 0) this.#failed(operation, errno)
    const thread = this.#thread(caller.pid)
    thread.operations += 1
    thread.tookMs += tookMs
  }

  #failed(operation: Operation, errno: number): void {
    operation.errors += 1
    if (!isOrdinaryErrno(errno)) operation.failures += 1
    this.#errnos.set(errno, (this.#errnos.get(errno) ?? 0) + 1)
  }

  wasRead(pid: number, bytes: number): void {
    this.#readBytes += bytes
    this.#thread(pid).readBytes += bytes
  }

  wasWritten(pid: number, bytes: number): void {
    this.#writtenBytes += bytes
    this.#thread(pid).writtenBytes += bytes
  }

  get bytes(): { readonly read: number; readonly written: number } {
    return { read: this.#readBytes, written: this.#writtenBytes }
  }

  get operations(): readonly OperationFigures[] {
    return this.#operations.flatMap((operation, opcode) => {
      if (operation === undefined) return []
      const latencies: LatencyCounts = operation.latencies.toJSON()
      const { errors, failures } = operation
      return [{ name: nameOf(opcode), latencies, errors, failures }]
    })
  }

  /** How often each error number was an answer, by its name. */
  get errnos(): readonly ErrnoFigures[] {
    return [...this.#errnos].map(([errno, count]) => ({ name: errnoName(errno), count }))
  }

  /** The programs that have used the mount lately, their threads together. */
  get programs(): readonly ProgramFigures[] {
    const programs = new Map<number, Thread & { readonly name: string }>()
    for (const [id, thread] of this.#threads) {
      const { pid, name } = programOf(id)
      const program = programs.get(pid) ?? {
        name,
        operations: 0,
        tookMs: 0,
        readBytes: 0,
        writtenBytes: 0,
      }
      program.operations += thread.operations
      program.tookMs += thread.tookMs
      program.readBytes += thread.readBytes
      program.writtenBytes += thread.writtenBytes
      programs.set(pid, program)
    }
    return [...programs].map(([pid, program]) => ({ pid, ...program }))
  }

  #thread(id: number): Thread {
    const known = this.#threads.get(id)
    if (known !== undefined) return known
    const [oldest] = this.#threads.keys()
    if (oldest !== undefined && this.#threads.size >= limits.mountProgramsMax)
      this.#threads.delete(oldest)
    const fresh: Thread = { operations: 0, tookMs: 0, readBytes: 0, writtenBytes: 0 }
    this.#threads.set(id, fresh)
    return fresh
  }
}

/** Which program a thread belongs to. One that has ended is its own, without a name. */
function programOf(thread: number): { readonly pid: number; readonly name: string } {
  if (thread === 0) return { pid: 0, name: 'the kernel' }
  try {
    const status = readFileSync(`/proc/${thread}/status`, 'utf8')
    const pid = Number(/^Tgid:\s*(\d+)$/m.exec(status)?.[1] ?? thread)
    const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
    return { pid, name }
  } catch {
    return { pid: thread, name: '' }
  }
}
