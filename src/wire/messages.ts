/**
 * Every message of the protocol, for both sides, in one table: its number, the fields of the request
 * and of the reply in the order in which they travel, and which of the two carries raw bytes behind
 * its fields. docs/protocol.md tells the same in prose.
 */
import { limits } from '../limits.js'
import {
  boolean,
  bytes,
  type Codec,
  hex,
  list,
  oneOf,
  optional,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
  type Value,
} from './codec.js'
import {
  keyCodec,
  nameText,
  registerCodec,
  registerValueCodec,
  segmentCodec,
  segmentIdCodec,
  transactionCodec,
} from './records.js'
import { versionCodec } from './version.js'

/** Raised whenever an old peer could misread a new one. Peers of different versions part at hello. */
export const protocolVersion = 9

interface Message<Q, A> {
  readonly number: number
  readonly request: Codec<Q>
  readonly reply: Codec<A>
  /** Which direction has a payload behind the fields; the other must end with its fields. */
  readonly payload: 'none' | 'request' | 'reply'
}

function message<Q, A>(
  number: number,
  request: Codec<Q>,
  reply: Codec<A>,
  payload: 'none' | 'request' | 'reply' = 'none',
): Message<Q, A> {
  return { number, request, reply, payload }
}

const nothing = struct({})
const serverId = hex(16)
const clusterId = hex(16)
const clientId = hex(4)
const scramText = text(1024)

/** The state of the user's account on the server: every reply about registers carries it. */
const stamp = struct({
  /** Commits of an older epoch are refused. 2^32 * counter + client. */
  epoch: u64,
  /** Random, new whenever the account begins from nothing on this server. */
  incarnation: u64,
  /** Commits with an id up to this version are refused. */
  fence: versionCodec,
})
export type Stamp = Value<typeof stamp>

/** One register as a server sees it: the decided version, and who holds its lock. */
const seen = struct({
  version: versionCodec,
  value: optional(registerValueCodec),
  /** The undecided transaction that holds this register exclusively here. */
  lock: optional(versionCodec),
})
export type Seen = Value<typeof seen>

/** What a server derives from a folder's live entries. */
const folderSummary = struct({
  /** The newest version that changed an entry of the folder: its time is the folder's mtime. */
  touched: versionCodec,
  live: u32,
  subfolders: u32,
})
export type FolderSummary = Value<typeof folderSummary>

const seenInode = struct({ register: seen, folder: optional(folderSummary) })
export type SeenInode = Value<typeof seenInode>

const decision = struct({
  id: versionCodec,
  commit: boolean,
  /** For a server that may not have the transaction. */
  body: optional(transactionCodec),
  /** Spare pieces that came with the votes and are not needed any more, if all went well. */
  spares: list(struct({ segment: segmentIdCodec, piece: u8 }), limits.pieceCount),
})
export type Decision = Value<typeof decision>

const inlinePiece = struct({
  segment: segmentIdCodec,
  /** 1 .. 4 */
  piece: u8,
  /** In bytes; that many of the payload, in the order of the list. */
  length: u32,
  /** CRC-32 of each 64 KiB block. */
  checksums: list(u32, limits.segmentBytesMax / limits.blockBytes),
})
export type InlinePiece = Value<typeof inlinePiece>

const listed = struct({
  name: nameText,
  entry: seen,
  /** Absent when the entry is a tombstone or this server does not have the inode. */
  inode: optional(seenInode),
  /** When asked for: for each segment of the inode, a bit for every piece held (1 << piece - 1). */
  held: bytes(limits.segmentsMax),
  /** A piece of the inode's content is marked as lost for good here. */
  lost: boolean,
})
export type Listed = Value<typeof listed>

/** A piece that the index keeps. */
const smallPiece = struct({
  checksums: list(u32, 1),
  bytes: bytes(limits.smallPieceBytesMax),
})

const heldPieces = struct({
  /** A bit for every piece held: 1 << (piece - 1). */
  pieces: u8,
  /** A bit for every piece that is marked as lost for good. */
  lost: u8,
  /** Some register refers to the segment. */
  referred: boolean,
})

const heldSegment = struct({
  /** Its length is 0 and its digest zeros as long as nothing refers to it. */
  segment: segmentCodec,
  /** Some register refers to it. */
  referred: boolean,
  /** A bit for every piece held: 1 << (piece - 1). */
  pieces: u8,
})
export type HeldSegment = Value<typeof heldSegment>

const commitRequest = struct({
  id: versionCodec,
  epoch: u64,
  settles: list(decision, limits.settlesMax),
  body: transactionCodec,
  pieces: list(inlinePiece, limits.pieceCount),
})

const commitReply = struct({
  stamp,
  outcome: oneOf(
    'yes',
    'committed',
    'aborted',
    'promised',
    'epoch',
    'fence',
    'locked',
    'stale',
    'conflict',
    'notEmpty',
  ),
  /** locked: the transaction in the way. */
  by: versionCodec,
  /** stale, conflict, notEmpty: the register it is about. */
  key: text(limits.keyBytesMax),
  /** A version that the next attempt must exceed. */
  hint: versionCodec,
})

export const messages = {
  // -- connection: RFC 5802 messages, then who the server is ---------------------------------------
  hello: message(
    1,
    /** `client`: that of the versions which this client writes. */
    struct({ version: u16, client: clientId, clientFirst: scramText }),
    struct({ version: u16, serverFirst: scramText }),
  ),
  authenticate: message(
    2,
    struct({ clientFinal: scramText }),
    struct({
      serverFinal: scramText,
      server: serverId,
      cluster: optional(clusterId),
      /** 0 .. 3 once it belongs to a cluster. */
      position: u8,
    }),
  ),
  /** Makes a server that belongs to no cluster one of this cluster, for good. */
  claim: message(3, struct({ cluster: clusterId, position: u8 }), nothing),
  ping: message(4, nothing, nothing),
  /**
   * Asks to be told before another client of this user is let in, or (wanted: false) gives that up.
   * Granted, it holds for `leaseMs` from each later message of this client, until a `recall` arrives.
   * Nobody else was let in while the generation stays the same.
   */
  lease: message(5, struct({ wanted: boolean }), struct({ granted: boolean, generation: u64 })),

  // -- the account -----------------------------------------------------------------------------------
  status: message(
    10,
    nothing,
    struct({
      stamp,
      /** blank: no data yet. unsure: it may have lost votes it gave. Neither votes nor counts. */
      state: oneOf('voting', 'blank', 'unsure', 'lost'),
      floor: versionCodec,
      /** The server's clock, in ms since 1970: the median of the four is the time of versions. */
      timeMs: u64,
      registers: u64,
      undecided: u64,
      /** Segments referred to here of which not exactly two pieces are. */
      misplaced: u64,
      /** Segments referred to here of which a piece is marked as lost for good. */
      lost: u64,
      pieces: u64,
      /** Bytes in this user's pieces. */
      pieceBytes: u64,
      /** Of the disk that holds the server's folder. */
      diskBytes: u64,
      diskFreeBytes: u64,
      /** The same on servers whose folders share a disk. */
      disk: text(128),
    }),
  ),
  /** Begins an account on a blank server; `incarnations` are those of all four, all blank. */
  found: message(11, struct({ incarnations: list(u64, limits.serverCount) }), struct({ stamp })),

  // -- reading registers -----------------------------------------------------------------------------
  /** Walks `names` down from the folder `parent`, as far as this server can. */
  lookup: message(
    12,
    struct({ parent: u64, names: list(nameText, limits.lookupNamesMax) }),
    struct({
      stamp,
      steps: list(struct({ entry: seen, inode: optional(seenInode) }), limits.lookupNamesMax),
    }),
  ),
  /** The entries of a folder in the order of their names' UTF-8 bytes, tombstones included. */
  list: message(
    13,
    struct({
      folder: u64,
      /** Only names greater than this one. */
      after: nameText,
      entriesMax: u32,
      withHeldPieces: boolean,
    }),
    struct({
      stamp,
      folder: seenInode,
      entries: list(listed, limits.listEntriesMax),
      /** There are more names: every name up to the last one listed is complete. */
      more: boolean,
    }),
  ),
  read: message(
    14,
    struct({ keys: list(keyCodec, limits.readKeysMax) }),
    struct({ stamp, registers: list(seenInode, limits.readKeysMax) }),
  ),

  // -- quorum (the rules are in docs/decisions and the acceptor) -------------------------------------
  commit: message(15, commitRequest, commitReply, 'request'),
  /** As `commit`, answered when the vote is on the disk with all that was answered before. */
  commitSynced: message(26, commitRequest, commitReply, 'request'),
  prepare: message(
    16,
    struct({ id: versionCodec, ballot: u64 }),
    struct({
      stamp,
      outcome: oneOf('promised', 'committed', 'aborted', 'refused', 'forgotten'),
      /** refused: the ballot that was promised before. */
      ballot: u64,
      yes: boolean,
      everAcceptedCommit: boolean,
      acceptedBallot: u64,
      acceptedCommit: boolean,
      body: optional(transactionCodec),
    }),
  ),
  accept: message(
    17,
    struct({ id: versionCodec, ballot: u64, commit: boolean, body: optional(transactionCodec) }),
    struct({
      stamp,
      outcome: oneOf('accepted', 'committed', 'aborted', 'refused', 'forgotten', 'locked'),
      ballot: u64,
      by: versionCodec,
      body: optional(transactionCodec),
    }),
  ),
  decide: message(
    18,
    struct({ decisions: list(decision, limits.settlesMax) }),
    /** Whether each decision is now known here (not when it commits a body that nobody sent). */
    struct({ stamp, known: list(boolean, limits.settlesMax) }),
  ),
  /** Decided values that this server lacks; an older one than what it has changes nothing. */
  install: message(
    19,
    struct({ registers: list(registerCodec, limits.readKeysMax) }),
    struct({ stamp }),
  ),

  // -- pieces ----------------------------------------------------------------------------------------
  /** A part of a piece. The piece is there once its last byte is; parts arrive in order. */
  putPiece: message(
    20,
    struct({
      segment: segmentIdCodec,
      piece: u8,
      /** The whole piece, in bytes. */
      pieceLength: u32,
      /** Where this part begins: a multiple of the block size. */
      offset: u32,
      checksums: list(u32, limits.framePayloadBytesMax / limits.blockBytes),
    }),
    nothing,
    'request',
  ),
  /** Whole blocks that cover offset .. offset + length of a piece. */
  getPiece: message(
    21,
    struct({ segment: segmentIdCodec, piece: u8, offset: u32, length: u32 }),
    struct({
      pieceLength: u32,
      /** Where the payload begins in the piece. */
      offset: u32,
      checksums: list(u32, limits.framePayloadBytesMax / limits.blockBytes + 1),
    }),
    'reply',
  ),
  /** Whole pieces that the index keeps, in the order of the request; null: not here, or rotten. */
  getSmallPieces: message(
    27,
    struct({
      pieces: list(struct({ segment: segmentIdCodec, piece: u8 }), limits.smallPiecesPerRequestMax),
    }),
    struct({ pieces: list(optional(smallPiece), limits.smallPiecesPerRequestMax) }),
  ),
  /** Which pieces of these segments are here. */
  held: message(
    22,
    struct({ segments: list(segmentIdCodec, limits.segmentsPerRequestMax) }),
    struct({ held: list(heldPieces, limits.segmentsPerRequestMax) }),
  ),
  /** Returns when all that was answered before is on the disk, with the pieces of these segments. */
  sync: message(
    23,
    struct({ segments: list(segmentIdCodec, limits.segmentsPerRequestMax) }),
    struct({ stamp }),
  ),
  /**
   * Segments that this server knows, by their ids. `misplacedOnly`: those referred to of which
   * other pieces are here than belong here, or of which a piece is marked as lost.
   */
  segments: message(
    24,
    struct({ after: text(32), misplacedOnly: boolean, limit: u32 }),
    struct({ stamp, segments: list(heldSegment, limits.surveyEntriesMax), more: boolean }),
  ),
  /**
   * Marks just these pieces of each segment as lost for good: all four servers vote, and none of them
   * has a good copy. A mark goes when the piece is stored here.
   */
  markLost: message(
    28,
    struct({
      /** A bit for every piece: 1 << (piece - 1). */
      marks: list(struct({ segment: segmentIdCodec, pieces: u8 }), limits.segmentsPerRequestMax),
    }),
    struct({ stamp }),
  ),
  /** Removes pieces whose copies are where they belong. */
  dropPieces: message(25, struct({ segment: segmentIdCodec, pieces: u8 }), struct({ stamp })),

  // -- fill, repair and sweep ------------------------------------------------------------------------
  /** Raises the epoch: commits that were begun in an older one are refused from now on. */
  epoch: message(30, struct({ epoch: u64 }), struct({ stamp })),
  /**
   * Commits with an id up to this version are refused from now on. `agreed`: the three others would have it so, whatever
   * the clock of this server says; a fence that is far above it, from when that was ahead, is taken back.
   */
  fence: message(31, struct({ fence: versionCodec, agreed: boolean }), struct({ stamp })),
  /** All four agree up to this version: what only remembered the way there is dropped. */
  floor: message(
    32,
    struct({ floor: versionCodec, incarnation: u64 }),
    struct({ stamp, raised: boolean }),
  ),
  /** Transaction records with ids greater than `after`, in order. */
  records: message(
    33,
    struct({ after: versionCodec, undecidedOnly: boolean, limit: u32 }),
    struct({
      stamp,
      floor: versionCodec,
      records: list(
        struct({ id: versionCodec, state: oneOf('undecided', 'committed', 'aborted') }),
        limits.surveyEntriesMax,
      ),
      more: boolean,
    }),
  ),
  /** Registers in the order of (version, key), behind the one given. */
  changes: message(
    34,
    struct({
      afterVersion: versionCodec,
      afterKey: text(limits.keyBytesMax),
      /** false: values are left out, and so are all but the keys and versions. */
      withValues: boolean,
      limit: u32,
    }),
    struct({
      stamp,
      registers: list(registerCodec, limits.surveyEntriesMax),
      /** For each of them: CRC-32 of its key, version and value, as this server keeps them. */
      checksums: list(u32, limits.surveyEntriesMax),
      more: boolean,
    }),
  ),
  /** What `changes` would tell, as one digest: most often it is the same on all servers. */
  changesDigest: message(
    43,
    struct({ afterVersion: versionCodec, afterKey: text(limits.keyBytesMax), limit: u32 }),
    struct({
      stamp,
      count: u32,
      /** MD5 of the version, the key and the checksum of each. */
      digest: hex(16),
      /** Of the last of them; as asked for when there is none. */
      lastVersion: versionCodec,
      lastKey: text(limits.keyBytesMax),
      more: boolean,
    }),
  ),
  /** Decisions whose effect has been installed before. */
  mark: message(
    35,
    struct({
      decisions: list(struct({ id: versionCodec, commit: boolean }), limits.surveyEntriesMax),
    }),
    struct({ stamp }),
  ),
  /** Begins to fill a blank or unsure account; an older fill can not go on after that. */
  fillStart: message(
    36,
    struct({ epoch: u64, incarnation: u64 }),
    struct({ stamp, started: boolean }),
  ),
  fill: message(
    37,
    struct({
      epoch: u64,
      registers: list(registerCodec, limits.surveyEntriesMax),
      decisions: list(struct({ id: versionCodec, commit: boolean }), limits.surveyEntriesMax),
    }),
    struct({ stamp }),
  ),
  /** Ends the fill: from now on the account votes and counts. */
  fillEnd: message(
    38,
    struct({ epoch: u64, floor: versionCodec, fence: versionCodec }),
    struct({ stamp }),
  ),
  /** Registers that were found rotten on this server's disk, but for those that are locked here. */
  rotten: message(
    39,
    struct({ limit: u32 }),
    struct({
      stamp,
      keys: list(keyCodec, limits.readKeysMax),
      /** Changes when something about a rotten register is decided. */
      mark: u32,
      floor: versionCodec,
    }),
  ),
  /**
   * Puts what a quorum of the others has in the place of what has rotted here, or is not here though
   * the floor has passed it. Refused when something about it was locked or decided here, or the floor
   * was raised, since `mark` and `floor` were read. A version of zeros: there is no such register.
   */
  restore: message(
    40,
    struct({ register: registerCodec, mark: u32, floor: versionCodec }),
    struct({ stamp, restored: boolean }),
  ),
  /** Files that have no name any more and were not written since `before`. */
  orphans: message(
    41,
    struct({ before: versionCodec, limit: u32 }),
    struct({ stamp, inos: list(u64, limits.surveyEntriesMax) }),
  ),
  /** Counts files of pieces that no piece is known by, and moves them aside if asked to. */
  strays: message(42, struct({ remove: boolean }), struct({ stamp, found: u64 })),
  /**
   * Takes files that no piece is known by for pieces of a segment of which no other copy is left, and says
   * which; only their length has been checked. With `giveBack`, bits of pieces, these were not what they
   * seemed: they are moved aside again.
   */
  reclaim: message(
    44,
    struct({ segment: segmentCodec, giveBack: u8 }),
    struct({ stamp, pieces: u8 }),
  ),
} as const

export type Messages = typeof messages
export type Verb = keyof Messages
export type Request<V extends Verb> = Value<Messages[V]['request']>
export type Reply<V extends Verb> = Value<Messages[V]['reply']>

/** A failed request: the number from the table of errors and what happened. */
export const failureCodec = struct({ code: u16, message: text(4096) })

const verbs = new Map(
  (Object.keys(messages) as Verb[]).map((verb) => [messages[verb].number as number, verb] as const),
)

/** The verb with this number, or undefined. */
export function verbOfNumber(number: number): Verb | undefined {
  return verbs.get(number)
}
