/** A machine with a server on it: it can be down, stand still, have a wrong clock, and lose its disk. */
import { Acceptor } from './acceptor.js'
import type { Context } from './context.js'
import type { Liar } from './lies.js'
import type { Message, Reply } from './messages.js'
import { ServerState } from './server-state.js'

export class Server {
  readonly index: number
  isUp = true
  pausedUntil = 0
  clockOffset = 0
  /** Answers in the place of the server. */
  liar: Liar | undefined
  readonly #context: Context
  #state: ServerState
  #acceptor: Acceptor

  constructor(index: number, context: Context) {
    this.index = index
    this.#context = context
    this.#state = this.#blankState()
    this.#state.isBlank = false
    this.#acceptor = new Acceptor(context, this.#state)
  }

  get state(): ServerState {
    return this.#state
  }

  /** Loses the disk: the server is blank, in a new incarnation. */
  wipe(): void {
    this.#state = this.#blankState()
    this.#acceptor = new Acceptor(this.#context, this.#state)
  }

  handle(message: Message): Reply {
    const answer = this.#acceptor.answer(message)
    const { epoch, incarnation, isBlank } = this.#state
    const honest = { ...answer, epoch, incarnation, isBlank }
    return this.liar?.distort(message, honest) ?? honest
  }

  #blankState(): ServerState {
    const clock = () => this.#context.events.now + this.clockOffset
    return new ServerState(this.index, this.#context, clock)
  }
}
