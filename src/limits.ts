/**
 * Every bound of the system in one place, with units in the names. Their relations are asserted
 * when this module loads, so that a change of one that breaks another stops the program at once.
 */
import assert from 'node:assert/strict'

const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  // Placement and content.
  serverCount: 4,
  /** Servers that each piece is on. */
  pieceCopies: 2,
  pieceCount: 4,
  segmentBytesMax: 32 * MiB,
  /** Granularity of the CRC-32 checks, in memory, on the wire and on disk. */
  blockBytes: 64 * KiB,
  /** Most segments of one file: a quarter more than the largest file has when it is written in one go. */
  segmentsMax: 10_240,
  /** Of one file, if its register has room for them: scattered ones take about six bytes each. */
  extentsMax: 131_072,
  /** Most bytes of a register that the segments and extents of a file may take; attributes have room beside them. */
  contentValueBytesMax: 624 * KiB,
  /** With more than this the extents of an inode are written in the packed form. */
  extentsPlainMax: 1024,
  fileBytesMax: 256 * 1024 * MiB,
  /** Content up to this size travels inside the commit itself. */
  inlineContentBytesMax: 64 * KiB,
  /** A file with more extents than this in each of its segments is merged at a close, if that is cheap. */
  extentsMergeAt: 64,
  /** The same whatever it costs: so many times the root of its size in MiB. */
  extentsOfMiB: 128,
  /** So many times its size the segments of a file may take: what little of some is in use moves then. */
  segmentBytesOfSize: 2,
  /** The same for one that a commit can carry in full: each extent costs every later commit 50 bytes. */
  extentsMergeAtSmall: 16,

  // Names and attributes (POSIX <limits.h>, Linux xattr(7)).
  nameBytesMax: 255,
  symlinkBytesMax: 4095,
  /** A byte that is not UTF-8 takes so many in the texts of src/byte-text.ts. */
  textBytesPerByte: 4,
  linksMax: 65_000,
  attributeNameBytesMax: 255,
  attributeValueBytesMax: 64 * KiB,
  /** Names, as they are kept, and values: one of the largest fits beside others. */
  attributesBytesMax: 128 * KiB,
  /** What listxattr(2) can tell, a zero byte behind each name. */
  attributeNamesBytesMax: 64 * KiB,
  /** Of one file. */
  attributesMax: 1024,

  // Wire.
  framePayloadBytesMax: 1 * MiB,
  frameHeaderBytesMax: 1 * MiB,
  frameBytesMax: 2 * MiB,
  userNameBytesMax: 64,
  keyBytesMax: 1056,
  registerValueBytesMax: 768 * KiB,
  transactionWritesMax: 256,
  transactionPreconditionsMax: 4096,
  settlesMax: 256,
  lookupNamesMax: 64,
  readKeysMax: 256,
  listEntriesMax: 2048,
  listBytesMax: 512 * KiB,
  surveyEntriesMax: 4096,
  /** For so many a repair asks at once: others wait for the server meanwhile. */
  surveyEntriesAtOnce: 512,
  segmentsPerRequestMax: 8192,

  // Time, in milliseconds.
  requestTimeoutMs: 2_000,
  reconnectDelayMs: 500,
  authenticationFailureDelayMs: 400,
  handshakeTimeoutMs: 5_000,
  /** A client that was told it is alone may rely on it for so long after it was last answered. */
  leaseMs: 1_000,
  /** By so much a server waits longer than that before it lets another client in. */
  leaseSlackMs: 100,
  /** A lease that was not made use of for so long is not renewed. */
  leaseIdleMs: 10_000,
  /** How long a created file may wait for its first content, to be stored together with it. */
  createDelayMs: 200,
  /** How long a change of names may wait for others, to be stored together with them. */
  behindMs: 10,
  /** Before what could not be stored is tried again. */
  behindRetryMs: 1_000,
  undecidedPatienceMs: 200,
  transactionPatienceMs: 10_000,
  /** Between two looks of who waits for the servers to be complete. */
  statusWaitMs: 1_000,
  /** A server whose clock is further off is told of. */
  clockOffsetMsMax: 60_000,
  /** A client's clock that differs from the servers' by no more is as good as theirs. */
  clockAgreesMs: 1_000,
  /** Two clocks go apart by no more, of the time that passes; what is slewed may, and is noticed then. */
  clockDriftMax: 1e-4,
  /** A server refuses versions that are further ahead of its clock. */
  clockAheadMsMax: 5 * 60_000,
  /** A connection that says nothing is asked by TCP whether its peer is still there. */
  keepAliveMs: 60_000,

  // Repair: how soon after a server came back, after a failure, and when nothing happens.
  repairDelayMs: 1_000,
  /** A repair that nothing asks for waits until its client has changed nothing for so long, */
  repairQuietMs: 300,
  /** but not longer than this. */
  repairDeferralMs: 10_000,
  /** A repair that meets its client at work pauses between its steps, at most so long. */
  repairPauseMsMax: 100,
  repairRetryMs: 5_000,
  repairIntervalMs: 60_000,
  /** Records, tombstones and replaced content are kept at least so long. */
  sweepAgeMs: 60_000,
  /** Noted rotten copies of pieces, and rotten registers. */
  badCopiesMax: 10_000,
  /** Files that lost data, named in the log one by one; the others are counted. */
  lostFileLinesMax: 100,
  /** A file without a name that nobody wrote for so long belongs to a mount that died. */
  orphanAgeMs: 48 * 3600_000,
  /** A mount writes those it has open so often. */
  orphanRenewalMs: 3600_000,

  // Client memory and parallelism.
  /** Files that one `dfc put -r` or `get -r` transfers at once. */
  filesInFlightMax: 4,
  /** Segments on their way to the servers; others wait. */
  segmentPutsInFlightMax: 8,
  /** Frames of pieces that one server has not answered yet. */
  putFramesInFlightMax: 4,
  /** Reads of pieces, each of at most framePayloadBytesMax. */
  fetchesInFlightMax: 16,
  /** Small pieces, which are asked for together: beside those reads, and in one message. */
  smallFetchesInFlightMax: 256,
  smallPiecesPerRequestMax: 64,
  /** A server that takes so much longer than the others is not waited for where these are enough. */
  hedgeMs: 300,
  /** How often such a server is asked whether it has become quick again. */
  slowProbeMs: 1_000,
  /** What it has not answered yet: more is not sent, as if it were down. */
  slowRequestsMax: 256,
  blockCacheBytesMax: 64 * MiB,
  /** Small segments that were stored last, for who goes on with one. */
  storedSegmentsMax: 128,
  registerCacheEntriesMax: 50_000,
  /** For names that left that cache, two bytes and more for each: what is not among them is not there. */
  forgottenNamesBytesMax: 8 * MiB,
  cacheLifeMs: 1_000,
  /** To read so many names of a folder costs about as much as to ask for one of them. */
  namesPerLookup: 16,
  /** A folder with more names is not read to its end because some of them were asked for. */
  knownNamesMax: 25_000,
  /** Such a reading is given up when its pages have fewer: removed names take room in them, too. */
  knownNamesPerPageMin: 128,
  /** Before a folder is read again after that. */
  lookupsAfterVainReading: 256,
  readAheadBytesMin: 256 * KiB,
  /** For one sequential reader. */
  readAheadBytesMax: 8 * MiB,
  /** For all of them together: what is read ahead must not drive itself out of the cache. */
  readAheadTotalBytesMax: 32 * MiB,
  /** What is further behind a reader who goes through a big file is forgotten: the kernel has it. */
  readBehindBytesMax: 2 * MiB,
  decisionsPendingMax: 64,
  /** How long a decision waits for a commit to ride on; who meets its lock meanwhile waits as long. */
  decisionDelayMs: 15,

  // Mount.
  /** Requests of the kernel that are worked on at once; the others wait in the kernel. */
  mountRequestsMax: 64,
  /** Above all other deadlines: whatever has not been answered by then gets ETIMEDOUT. */
  mountOperationTimeoutMs: 150_000,
  /** How long the kernel may answer from the names and attributes it was told. */
  kernelCacheMs: 1_000,
  /** What the mount remembers of what it told the kernel: files. */
  kernelCacheEntriesMax: 20_000,
  /** For how long a program may be on its way by a name that the kernel believed when it began. */
  nameBelievedMs: 6_000,
  /** Of one inode, that are looked up when it is opened; with more the kernel looks for them itself. */
  namesToldMax: 8,
  handlesMax: 65_536,
  /** Of an open folder. */
  folderPagesRememberedMax: 4,
  /** Where listings stood, of all folders together: names, at most twice as many. */
  positionsRememberedMin: 65_536,
  /** Folders of which the latest page is remembered, and small files fetched ahead in them. */
  siblingFoldersMax: 4,
  siblingsAheadMax: 16,
  /** Written and not stored, in memory, of all files together: beyond it writers wait or spill. */
  draftBytesMax: 128 * MiB,
  /** What was only appended is committed after so long, even if the file stays open. */
  draftAgeMsMax: 30_000,
  /** Separate dirty ranges of one file in memory; beyond it they go to the spill file. */
  draftRunsMax: 4096,
  /** In spill files, of all files together; beyond it a write gets ENOSPC. */
  spillBytesMax: 4 * 1024 * MiB,
  /** Unit in which drafts take memory. */
  draftChunkBytes: 1 * MiB,
  /** A write of less does not keep the memory of its request while it waits. */
  smallWriteBytes: 16 * KiB,
  /** Segments on their way to the servers while their file is still being written. */
  uploadsInFlightMax: 2,

  // Server.
  connectionsMax: 1024,
  handshakesMax: 256,
  connectionRequestsMax: 256,
  connectionBytesMax: 8 * MiB,
  connectionReplyBytesMax: 16 * MiB,
  /** So many connections may have all that connectionBytesMax and the like say; more share it. */
  fullShareConnections: 8,
  /** Of one user: nobody takes all connections of a server. */
  userConnectionsMax: 256,
  undecidedRecordsMax: 20_000,
  /** Votes are logged at once, and they and their decisions written to the index after so long, */
  lateMs: 200,
  /** so many in one turn, and so long between two turns, */
  lateCountAtOnce: 16,
  lateTurnMs: 1,
  /** or all of them at once when there are so many, or so large ones. */
  lateCountMax: 1024,
  lateBytesMax: 4 * MiB,
  /** Between pages of rows, when a server looks by itself whether its index is right. */
  checkPauseMs: 2,
  /** Registers of an account in memory, besides those on which a transaction is open. */
  recentRegistersMax: 1024,
  recentValueBytesMax: 1 * KiB,
  segmentSeriesMax: 256,
  /** In memory, of one account. */
  undecidedBytesMax: 128 * MiB,
  /** Pieces up to this size rest in the account's index: a file costs far more than its bytes. */
  smallPieceBytesMax: 16 * KiB,
  /** Of a server, and of a mount: parts of pieces in memory that is used again; more take other memory. */
  pageBuffersMax: 24,
  /** Parts of pieces that are remembered to belong into the kernel's cache, or to be there. */
  cachedPartsMax: 4096,
  abandonedPieceGraceMs: 24 * 3600_000,
  /** A frame before authentication. */
  handshakeFrameBytesMax: 4 * KiB,
  /** A peer that reads nothing of its replies for so long is cut off. */
  replyStallMs: 30_000,
  /** A closing connection gets so long to take its last replies. */
  connectionCloseMs: 5_000,
  /** Pieces that one connection may be sending part by part. */
  uploadsMax: 64,
  /** An unfinished piece that got no part for so long makes room for others. */
  uploadIdleMs: 60_000,
  /** An account stays open so long after its last connection. */
  accountLingerMs: 60_000,
  /** An account whose disk does not work is tried again so often. */
  diskRetryMs: 2_000,
  /** Files of no piece are kept aside for so long. */
  strayKeptMs: 30 * 24 * 3600_000,
  /** A client sends pieces past a server whose disk was full for so long before it tries again. */
  fullServerMs: 5_000,
  syncsInFlightMax: 4,
  stopDrainMs: 5_000,
  /** Lines in the log about refused connections: so many at once, then one that counts the others. */
  refusalLinesMax: 20,
  refusalLinesMs: 10_000,
} as const

assert(limits.segmentBytesMax % (limits.pieceCount * limits.blockBytes) === 0)
assert(limits.framePayloadBytesMax % limits.blockBytes === 0)
assert(limits.readAheadTotalBytesMax <= limits.blockCacheBytesMax / 2)
assert(limits.knownNamesMax <= limits.registerCacheEntriesMax / 2)
assert(limits.segmentPutsInFlightMax * 2 <= limits.uploadsMax)
assert(
  limits.framePayloadBytesMax + limits.frameHeaderBytesMax <= limits.frameBytesMax,
  'a payload and its header must fit a frame',
)
assert(limits.framePayloadBytesMax <= limits.connectionBytesMax)
assert(limits.frameBytesMax <= limits.connectionReplyBytesMax)
assert(limits.userConnectionsMax <= limits.connectionsMax / 2, 'one user leaves room for others')
assert(limits.inlineContentBytesMax <= limits.framePayloadBytesMax)
assert(
  limits.inlineContentBytesMax <= limits.smallPieceBytesMax * limits.pieceCount,
  'pieces inside a commit rest in the index, where a decision can drop the spare one',
)
assert(limits.registerValueBytesMax + limits.keyBytesMax < limits.frameHeaderBytesMax)
assert(limits.fileBytesMax / limits.segmentBytesMax < limits.segmentsMax * 0.9)
assert(
  limits.segmentsMax * 56 <= limits.contentValueBytesMax,
  'an extent for each segment at least',
)
assert(
  limits.contentValueBytesMax + limits.attributesBytesMax + limits.attributesMax * 8 + 1024 <=
    limits.registerValueBytesMax,
  'whatever a file consists of, its attributes have room',
)
assert(limits.nameBytesMax * limits.textBytesPerByte + 32 <= limits.keyBytesMax)
assert(limits.attributeValueBytesMax * 1.5 < limits.attributesBytesMax)
assert(limits.kernelCacheMs * 2 < limits.nameBelievedMs, 'a walk takes its time as well')
assert(limits.listBytesMax < limits.frameHeaderBytesMax)
assert(limits.segmentBytesMax % limits.draftChunkBytes === 0)
assert(
  limits.segmentBytesMax * (limits.uploadsInFlightMax + 1) < limits.draftBytesMax,
  'a file that streams in must not spill',
)
assert(
  limits.orphanRenewalMs * 2 + 24 * 3600_000 < limits.orphanAgeMs,
  'a file that is open must not be collected, also when somebody has a clock that is a day off',
)
assert(
  limits.leaseMs + limits.leaseSlackMs < limits.requestTimeoutMs,
  'who waits for a lease to run out must not take the server for dead',
)
