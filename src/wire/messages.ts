/**
 * Every message of the protocol, for both sides, in one table: its number, the fields of the request and of the reply
 * in the order in which they travel, and which of the two carries raw bytes behind its fields. docs/protocol.md
 * describes them in prose.
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

interface Message<Q, A> {
  readonly number: number
  readonly request: Codec<Q>
  readonly reply: Codec<A>
  /** Direction that has a payload behind the fields. A message of the other direction ends with its fields. */
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
  /** Commits of an older epoch are refused. Consists of 2^32 * counter + client. */
  epoch: u64,
  /** A random number, new whenever the account begins from nothing on this server. */
  incarnation: u64,
  /** Commits with an id up to this version are refused. */
  fence: versionCodec,
})
export type Stamp = Value<typeof stamp>

/** One register as a server sees it: its decided version and the transaction that holds its lock. */
const seen = struct({
  version: versionCodec,
  value: optional(registerValueCodec),
  /** The in-doubt transaction that holds this register exclusively here. */
  lock: optional(versionCodec),
})
export type Seen = Value<typeof seen>

/** Summary that a server derives from a folder's live entries. */
const folderSummary = struct({
  /** The newest version that changed an entry of the folder. Its time is the folder's mtime. */
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
  /** Present for a server that may not have the transaction. */
  body: optional(transactionCodec),
  /** Spare pieces that came with the votes and can be dropped, if every home has its pieces. */
  spares: list(struct({ segment: segmentIdCodec, piece: u8 }), limits.inlineSegmentsMax),
})
export type Decision = Value<typeof decision>

const inlinePiece = struct({
  segment: segmentIdCodec,
  /** Number of the piece, 1 .. 4. */
  piece: u8,
  /** Length in bytes. The payload holds the pieces' bytes in the order of the list. */
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
  /** Present when asked for: for each segment of the inode, a bit for every piece held (1 << piece - 1). */
  held: bytes(limits.segmentsMax),
  /** Whether a piece of the inode's content is marked as lost for good here. */
  lost: boolean,
})
export type Listed = Value<typeof listed>

/** A piece that is stored in the index. */
const smallPiece = struct({
  checksums: list(u32, 1),
  bytes: bytes(limits.smallPieceBytesMax),
})

const heldPieces = struct({
  /** A bit for every piece held: 1 << (piece - 1). */
  pieces: u8,
  /** A bit for every piece that is marked as lost for good. */
  lost: u8,
  /** Whether some register refers to the segment. */
  referred: boolean,
})

const heldSegment = struct({
  /** The segment. Its length is 0 and its digest zeros as long as no register refers to it. */
  segment: segmentCodec,
  /** Whether some register refers to the segment. */
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
  pieces: list(inlinePiece, limits.inlineSegmentsMax * limits.pieceCount),
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
  /** The transaction in the way, for `locked`. */
  by: versionCodec,
  /** The register in the way, for `stale`, `conflict` and `notEmpty`. */
  key: text(limits.keyBytesMax),
  /** A version that the next attempt must exceed. */
  hint: versionCodec,
})

export const messages = {
  // -- connection: RFC 5802 messages, then the server's identity -------------------------------------
  hello: message(
    1,
    /**
     * `most` and `least`: the range of versions of the protocol that the client speaks. `client` is the id in the
     * versions that this client writes, `position`, 0 .. 3, the one of its four servers that it takes this one for. It
     * keeps this form in all versions; bytes behind it are ignored.
     */
    struct({
      most: u16,
      least: u16,
      client: clientId,
      position: u8,
      clientFirst: scramText,
    }),
    /** `version` is the one that both speak from now on. */
    struct({ version: u16, server: serverId, serverFirst: scramText }),
  ),
  authenticate: message(2, struct({ clientFinal: scramText }), struct({ serverFinal: scramText })),
  /**
   * Says which cluster and position of it this server is of for this account: for good, once the account is
   * founded or filled here. It says nothing about other users' accounts.
   */
  claim: message(3, struct({ cluster: clusterId, position: u8 }), nothing),
  ping: message(4, nothing, nothing),
  /**
   * Asks for the promise of a `recall` before another client of this user is let in, or gives it up (`wanted` false).
   * Once granted, it holds for `leaseMs` from each later message of this client, until a `recall` arrives. As long as
   * the generation stays the same, no other client was let in.
   */
  lease: message(5, struct({ wanted: boolean }), struct({ granted: boolean, generation: u64 })),

  // -- the account -----------------------------------------------------------------------------------
  status: message(
    10,
    nothing,
    struct({
      stamp,
      cluster: optional(clusterId),
      /** 0 .. 3 once this account belongs to a cluster here. */
      position: u8,
      /**
       * blank: no data yet. lost: the index is gone. unsure: votes may be forgotten. Only `voting` votes and counts.
       */
      state: oneOf('voting', 'blank', 'unsure', 'lost'),
      floor: versionCodec,
      /** The server's clock, in ms since 1970: the median of the four is the time of versions. */
      timeMs: u64,
      registers: u64,
      undecided: u64,
      /** Segments referred to here that have other than exactly two pieces here. */
      misplaced: u64,
      /** Segments referred to here that have a piece marked as lost for good. */
      lost: u64,
      pieces: u64,
      /** Bytes in this user's pieces. */
      pieceBytes: u64,
      /**
       * Bytes of the user's pieces that this server allows, half of their quota, and how many more it takes now; null
       * when they have no quota.
       */
      quota: optional(struct({ bytes: u64, freeBytes: u64 })),
      /** Size in bytes of the disk that holds the server's folder. */
      diskBytes: u64,
      diskFreeBytes: u64,
      /** Identifies that disk: equal on servers whose folders share a disk. */
      disk: text(128),
      /** For how long what the user removes or replaces is kept, in ms; 0 for not at all. */
      trashMs: u64,
    }),
  ),
  /** Begins an account on a blank server. `incarnations` are those of all four servers, all blank. */
  found: message(11, struct({ incarnations: list(u64, limits.serverCount) }), struct({ stamp })),

  // -- reading registers -----------------------------------------------------------------------------
  /** Walks `names` down from the folder `parent`, as far as this server knows them. */
  lookup: message(
    12,
    struct({ parent: u64, names: list(nameText, limits.lookupNamesMax) }),
    struct({
      stamp,
      steps: list(struct({ entry: seen, inode: optional(seenInode) }), limits.lookupNamesMax),
    }),
  ),
  /** Lists the entries of a folder in the order of their names' UTF-8 bytes, tombstones included. */
  list: message(
    13,
    struct({
      folder: u64,
      /** Lists only names greater than this one. */
      after: nameText,
      entriesMax: u32,
      withHeldPieces: boolean,
    }),
    struct({
      stamp,
      folder: seenInode,
      entries: list(listed, limits.listEntriesMax),
      /** Whether there are more names. Every name up to the last one listed is included. */
      more: boolean,
    }),
  ),
  /** Lists several small folders from their beginning. The answer has the first ones, as many as have room. */
  listFolders: message(
    45,
    struct({ folders: list(u64, limits.listFoldersMax) }),
    struct({
      stamp,
      lists: list(
        struct({
          folder: seenInode,
          entries: list(listed, limits.listEntriesMax),
          /** Whether there are more names than these. */
          more: boolean,
        }),
        limits.listFoldersMax,
      ),
    }),
  ),
  read: message(
    14,
    struct({ keys: list(keyCodec, limits.readKeysMax) }),
    struct({ stamp, registers: list(seenInode, limits.readKeysMax) }),
  ),

  // -- quorum (the rules are in docs/decisions and the acceptor) -------------------------------------
  commit: message(15, commitRequest, commitReply, 'request'),
  /** Votes as `commit` does, and answers when the vote and all that was answered before it are on the disk. */
  commitSynced: message(26, commitRequest, commitReply, 'request'),
  prepare: message(
    16,
    struct({ id: versionCodec, ballot: u64 }),
    struct({
      stamp,
      outcome: oneOf('promised', 'committed', 'aborted', 'refused', 'forgotten'),
      /** For `refused`: the ballot that was promised before. */
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
    /** Whether each decision is known here now. A commit is not when no server has sent its body. */
    struct({ stamp, known: list(boolean, limits.settlesMax) }),
  ),
  /** Installs decided values that this server lacks. One older than the server's own changes nothing. */
  install: message(
    19,
    struct({ registers: list(registerCodec, limits.readKeysMax) }),
    struct({ stamp }),
  ),

  // -- pieces ----------------------------------------------------------------------------------------
  /** Stores a part of a piece. Parts arrive in order, and the piece is there once its last byte is. */
  putPiece: message(
    20,
    struct({
      segment: segmentIdCodec,
      piece: u8,
      /** Length of the whole piece in bytes. */
      pieceLength: u32,
      /** Offset in bytes at which this part begins, a multiple of the block size. */
      offset: u32,
      checksums: list(u32, limits.framePayloadBytesMax / limits.blockBytes),
    }),
    nothing,
    'request',
  ),
  /** Reads whole blocks that cover offset .. offset + length of a piece. */
  getPiece: message(
    21,
    struct({ segment: segmentIdCodec, piece: u8, offset: u32, length: u32 }),
    struct({
      pieceLength: u32,
      /** Offset in bytes of the payload in the piece. */
      offset: u32,
      checksums: list(u32, limits.framePayloadBytesMax / limits.blockBytes + 1),
    }),
    'reply',
  ),
  /** Reads whole pieces that are stored in the index, in the order of the request. null: missing or corrupt here. */
  getSmallPieces: message(
    27,
    struct({
      pieces: list(struct({ segment: segmentIdCodec, piece: u8 }), limits.smallPiecesPerRequestMax),
    }),
    struct({ pieces: list(optional(smallPiece), limits.smallPiecesPerRequestMax) }),
  ),
  /** Reports which pieces of these segments are here. */
  held: message(
    22,
    struct({ segments: list(segmentIdCodec, limits.segmentsPerRequestMax) }),
    struct({ held: list(heldPieces, limits.segmentsPerRequestMax) }),
  ),
  /** Returns when all that was answered before, and the pieces of these segments, are on the disk. */
  sync: message(
    23,
    struct({ segments: list(segmentIdCodec, limits.segmentsPerRequestMax) }),
    struct({ stamp }),
  ),
  /**
   * Lists segments that this server knows, by id. `misplacedOnly` selects those referred to that have other pieces
   * here than belong here, or a piece marked as lost.
   */
  segments: message(
    24,
    struct({ after: text(32), misplacedOnly: boolean, limit: u32 }),
    struct({ stamp, segments: list(heldSegment, limits.surveyEntriesMax), more: boolean }),
  ),
  /**
   * Marks exactly these pieces of each segment as lost for good. It is sent when all four servers vote and none has a
   * good copy. A mark goes when the piece is stored here.
   */
  markLost: message(
    28,
    struct({
      /** Segments with a bit for every lost piece: 1 << (piece - 1). */
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
   * Refuses commits with an id up to this version from now on. `agreed` says that the three others want this fence,
   * whatever this server's clock says: then a fence far above it, from when that clock was ahead, is taken back.
   */
  fence: message(31, struct({ fence: versionCodec, agreed: boolean }), struct({ stamp })),
  /** Declares that all four servers agree up to this version. What only remembered the way there is dropped. */
  floor: message(
    32,
    struct({ floor: versionCodec, incarnation: u64 }),
    struct({ stamp, raised: boolean }),
  ),
  /** Lists transaction records with ids greater than `after`, in order. */
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
  /** Lists registers in the order of (version, key), behind the one given. */
  changes: message(
    34,
    struct({
      afterVersion: versionCodec,
      afterKey: text(limits.keyBytesMax),
      /** Whether values are included. Without them, only keys and versions are. */
      withValues: boolean,
      limit: u32,
    }),
    struct({
      stamp,
      registers: list(registerCodec, limits.surveyEntriesMax),
      /** For each register, the CRC-32 of its key, version and value as this server stores them. */
      checksums: list(u32, limits.surveyEntriesMax),
      more: boolean,
    }),
  ),
  /** Digests what `changes` would list, because it usually is equal on all servers. */
  changesDigest: message(
    43,
    struct({ afterVersion: versionCodec, afterKey: text(limits.keyBytesMax), limit: u32 }),
    struct({
      stamp,
      count: u32,
      /** MD5 over the version, the key and the checksum of each register. */
      digest: hex(16),
      /** Version of the last register listed; `afterVersion` when none is. */
      lastVersion: versionCodec,
      lastKey: text(limits.keyBytesMax),
      more: boolean,
    }),
  ),
  /** Records decisions whose effect has been installed before. */
  mark: message(
    35,
    struct({
      decisions: list(struct({ id: versionCodec, commit: boolean }), limits.surveyEntriesMax),
    }),
    struct({ stamp }),
  ),
  /** Begins to fill an account that does not vote. An older fill cannot continue after that. */
  fillStart: message(
    36,
    struct({ epoch: u64, incarnation: u64 }),
    struct({ stamp, started: boolean }),
  ),
  fill: message(
    37,
    struct({
      epoch: u64,
      registers: list(registerCodec, limits.readKeysMax),
      decisions: list(struct({ id: versionCodec, commit: boolean }), limits.surveyEntriesMax),
    }),
    struct({ stamp }),
  ),
  /** Ends the fill: the account votes and counts from now on. */
  fillEnd: message(
    38,
    struct({ epoch: u64, floor: versionCodec, fence: versionCodec }),
    struct({ stamp }),
  ),
  /** Lists registers that are corrupt on this server's disk, except those locked here. */
  rotten: message(
    39,
    struct({ limit: u32 }),
    struct({
      stamp,
      keys: list(keyCodec, limits.readKeysMax),
      /** Changes whenever a transaction about a corrupt register is decided. */
      mark: u32,
      floor: versionCodec,
    }),
  ),
  /**
   * Replaces a register that is corrupt here, or missing though the floor has passed it, by what a quorum of the
   * others has. Refused when something about it was locked or decided here, or the floor was raised, since `mark` and
   * `floor` were read. A version of zeros says that there is no such register.
   */
  restore: message(
    40,
    struct({ register: registerCodec, mark: u32, floor: versionCodec }),
    struct({ stamp, restored: boolean }),
  ),
  /** Lists files without a name that were last written before `before`. */
  orphans: message(
    41,
    struct({ before: versionCodec, limit: u32 }),
    struct({ stamp, inos: list(u64, limits.readKeysMax) }),
  ),
  /** Counts files on the disk that belong to no piece, and moves them aside if asked to. */
  strays: message(42, struct({ remove: boolean }), struct({ stamp, found: u64 })),
  /**
   * Takes files that belong to no piece as pieces of a segment that has no other copy, and lists them. Only their
   * length has been checked. With `giveBack`, the pieces whose bits are set were not what they seemed and are moved
   * aside again.
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

/** Body of a failed request's answer: the number from the table of errors, and what happened. */
export const failureCodec = struct({ code: u16, message: text(4096) })

const verbs = new Map(
  (Object.keys(messages) as Verb[]).map((verb) => [messages[verb].number as number, verb] as const),
)

/** Returns the verb with this number, or undefined. */
export function verbOfNumber(number: number): Verb | undefined {
  return verbs.get(number)
}
