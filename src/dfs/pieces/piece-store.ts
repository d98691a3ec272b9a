/**
 * Where the bytes of pieces rest. The local folder is one place, memory (for simulations) another,
 * an object store may be a third; test/fixtures/piece-store-contract.ts holds them all to this.
 * Checksums, lengths and who may see what are the affair of the account above.
 */

/** Names a piece: the segment's id as 32 hexadecimal digits, and 1 .. 4. */
export interface PieceName {
  readonly segment: string
  readonly piece: number
}

export interface StoredPiece extends PieceName {
  readonly bytes: number
  /** When it was stored, in milliseconds since 1970. */
  readonly storedMs: number
}

export interface DiskSpace {
  readonly bytes: number
  readonly freeBytes: number
  /** The disk: servers whose folders share these bytes have one name for it. */
  readonly disk: string
}

/** Bytes in memory that may be lent: they may not be used after `release`, which is called once. */
export interface LentBytes {
  readonly bytes: Buffer
  release(): void
}

/** A piece on its way in: invisible until `finish`. After a failure only `abandon` may be called. */
export interface PieceWriter {
  /** One call at a time; `bytes` must not change until it has resolved. */
  append(bytes: Buffer): Promise<void>
  /** Puts the piece in its place, and in that of one of the same name, if there was one. */
  finish(): Promise<void>
  /** Forgets what was appended. Harmless at any time, also after `finish`. */
  abandon(): void
}

/** A full disk is `noSpace` everywhere and leaves nothing behind. Empty pieces are not stored. */
export interface PieceStore {
  /** Stores a whole small piece at once; one of the same name is replaced. */
  put(name: PieceName, bytes: Uint8Array): void
  writer(name: PieceName): PieceWriter
  /**
   * Reads exactly these bytes. Rejects with `noPiece` when there is no such piece, and with `corrupt` when it
   * ends before.
   */
  read(name: PieceName, offset: number, length: number): Promise<LentBytes>
  /** Whether there is such a piece, in full or not. */
  holds(name: PieceName): boolean
  /** Removes a piece, if there is such a one. */
  remove(name: PieceName): void
  /** Takes a piece out of what is held, and keeps its bytes where people find them. */
  moveAside(name: PieceName): void
  /**
   * Puts a piece that was moved aside back, unless one is held, and returns the length in bytes of the one that
   * is held then; undefined when there is neither.
   */
  bringBack(name: PieceName): Promise<number | undefined>
  /** Bytes of all pieces that were moved aside. */
  readonly asideBytes: number
  /** Removes what was moved aside before `beforeMs`, in milliseconds since 1970. */
  forgetAside(beforeMs: number): Promise<void>
  /** Resolves when these pieces survive a power cut. Those that are not there are passed over. */
  sync(names: readonly PieceName[]): Promise<void>
  /** Lists every finished piece, in no order. */
  list(): AsyncIterable<StoredPiece>
  space(): Promise<DiskSpace>
}
