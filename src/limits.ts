/**
 * Every bound of the system in one place, with units in the names. Their relations are asserted
 * when this module loads, so that a change of one that breaks another stops the program at once.
 */
import assert from 'node:assert/strict'

const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  // Placement and content.
  /** Servers of a cluster: always this many. */
  serverCount: 4,
  /** Servers that store each piece: its two homes. */
  pieceCopies: 2,
  /** Pieces of a segment. A segment shorter than this many bytes has fewer pieces that are not empty. */
  pieceCount: 4,
  /** Longest segment in bytes. Longer content is cut into several segments. */
  segmentBytesMax: 32 * MiB,
  /** Free space below which the disk of a server counts as full: its two pieces of the longest segment need that much. */
  fullDiskBytes: 16 * MiB,
  /** Bytes that one CRC-32 covers, in memory, on the wire and on disk. */
  blockBytes: 64 * KiB,
  /**
   * Most segments of one file, a quarter more than the largest file has when it is written in one go. Before a
   * commit would have more, small ones are merged.
   */
  segmentsMax: 10_240,
  /**
   * Most extents of one file, if its register has room for them: scattered ones take about six bytes each. Before a
   * commit would have more, neighbours are merged.
   */
  extentsMax: 131_072,
  /**
   * Most bytes that the segments and extents of a file take in its register, so that its attributes have room
   * beside them. Before a commit would need more, extents are merged.
   */
  contentValueBytesMax: 624 * KiB,
  /** Most extents that an inode's register lists in the plain form. More are written in the packed form. */
  extentsPlainMax: 1024,
  /** Largest size of a file. Writing or truncating beyond it fails with EFBIG. */
  fileBytesMax: 256 * 1024 * MiB,
  /** Longest content that travels inside the commit itself. Longer content is uploaded before the commit. */
  inlineContentBytesMax: 64 * KiB,
  /** Most new segments whose pieces travel with one commit. A batch that has as many is closed and another one begun. */
  inlineSegmentsMax: 128,
  /** Most changes that a client has answered and not stored. Beyond it a change is stored before it is answered. */
  logChangesMax: 2_048,
  /** Most bytes of contents in those changes. Beyond it a change is stored before it is answered. */
  logBytesMax: 4 * MiB,
  /** Size at which the journal of a mount is written anew with what is still needed of it. */
  journalBytesMax: 64 * MiB,
  /** Least free space on the servers while changes are answered before they are stored. */
  logRoomBytesMin: 64 * MiB,
  /** Extents for each 32 MiB of a file. With more, a close merges those that cost little to merge. */
  extentsMergeAt: 64,
  /** Extents above `extentsOfMiB * sqrt(size in MiB)` are merged at a close whatever it costs. */
  extentsOfMiB: 128,
  /**
   * The segments of a file may occupy this multiple of the file's size. Beyond it, what is in use of the emptiest
   * segments is stored again, so that they can go.
   */
  segmentBytesOfSize: 2,
  /**
   * Replaces `extentsMergeAt` for a file of at most `inlineContentBytesMax`, because each extent costs every later
   * commit 50 bytes.
   */
  extentsMergeAtSmall: 16,

  // Names and attributes (POSIX <limits.h>, Linux xattr(7)).
  /** Longest name in bytes. A longer one fails with ENAMETOOLONG. */
  nameBytesMax: 255,
  /** Longest target of a symbolic link in bytes. A longer one fails with ENAMETOOLONG. */
  symlinkBytesMax: 4095,
  /**
   * Bytes that one byte of a name takes at most in the texts of src/byte-text.ts, as a byte does that is not UTF-8.
   */
  textBytesPerByte: 4,
  /**
   * Most folders below one another that a walk through a tree goes into. A path of the kernel's 4096 bytes has no more.
   * A deeper one ends the walk with ELOOP.
   */
  folderDepthMax: 2048,
  /** Most hard links of one file. One more fails with EMLINK. */
  linksMax: 65_000,
  /** Longest name of an extended attribute in bytes. A longer one fails with ERANGE. */
  attributeNameBytesMax: 255,
  /** Longest value of an extended attribute in bytes. A longer one fails with E2BIG. */
  attributeValueBytesMax: 64 * KiB,
  /**
   * Most bytes of all extended attributes of one file, names as they are stored and values together. More fail with
   * ENOSPC. One of the largest fits beside others.
   */
  attributesBytesMax: 128 * KiB,
  /**
   * Most bytes of all names of a file's extended attributes with a zero byte behind each, which is what
   * listxattr(2) can return. More fail with ENOSPC.
   */
  attributeNamesBytesMax: 64 * KiB,
  /** Most extended attributes of one file. One more fails with ENOSPC. */
  attributesMax: 1024,

  // Wire.
  /** Most bytes of pieces that one frame carries. Longer pieces travel and are read in parts of this size. */
  framePayloadBytesMax: 1 * MiB,
  /** Most bytes of a frame without its payload. Every message is bounded so that it fits. */
  frameHeaderBytesMax: 1 * MiB,
  /** Most bytes of one frame. The receiver of a longer one closes the connection with the error `protocol`. */
  frameBytesMax: 2 * MiB,
  /** Longest name of a user. A longer one is refused in either configuration and at login. */
  userNameBytesMax: 64,
  /** Longest key of a register as text. A message with a longer one is refused with `protocol`. */
  keyBytesMax: 1056,
  /** Most bytes of a register's value. A change that would make a longer one fails. */
  registerValueBytesMax: 768 * KiB,
  /** Most registers that one transaction writes. A batch that is full is closed and another one begun. */
  transactionWritesMax: 256,
  /** Most registers that one transaction only relies on. A batch that is full is closed and another one begun. */
  transactionPreconditionsMax: 4096,
  /** Most decisions that one commit or `decide` carries. More travel with the next one. */
  settlesMax: 256,
  /** Most names of one `lookup`. More are asked for in several requests. */
  lookupNamesMax: 64,
  /** Most registers of one `read`. More are asked for in several requests. */
  readKeysMax: 256,
  /** Most folders that are listed with one request, before they are asked for. */
  listFoldersMax: 32,
  /** Most entries in one page of a listing. The rest follows in further pages. */
  listEntriesMax: 1024,
  /**
   * Most bytes of registers in one page of a listing, in the answer to one look-up, not counting the last of them,
   * and in one request that installs registers. The rest follows in further pages or requests.
   */
  listBytesMax: 512 * KiB,
  /**
   * Most rows in one page of a survey that a repair reads, because a page blocks the server's other requests. The
   * rest follows in further pages.
   */
  surveyEntriesMax: 512,
  /**
   * Most bytes of registers that a server reads for one page of a survey, not counting the last of them. The rest
   * follows in further pages.
   */
  surveyBytesMax: 4 * MiB,
  /**
   * Most segments that one request names, or that one page of a listing looks up, not counting the last file's.
   * More are asked for in several requests.
   */
  segmentsPerRequestMax: 1024,
  /** Most misplaced, and most lost, segments that `status` counts, because it is asked often. */
  segmentsCountedMax: 65_536,
  /**
   * Most registers, or records, that one server alone may show to a repair. One that shows more is not listened to
   * any further.
   */
  loneEntriesMax: 65_536,

  // Time, in milliseconds.
  /**
   * How long a server may be silent with a request unanswered before the client counts it as down, where the
   * configuration does not say `timeout`.
   */
  requestTimeoutMs: 2_000,
  /**
   * Pause between the servers when the time of an old password is over and they end the sessions that were opened with
   * it: a mount is back at one server, with its new password, before the next one ends its session. It also covers that
   * servers look for that only once a second.
   */
  oldPasswordStepMs: 2_500,
  /** Longest pause between two attempts to connect to a server. The first ones are shorter. */
  reconnectDelayMs: 500,
  /**
   * Pause before a server that refuses this client, or that this client refuses, is tried again. It doubles with each
   * further refusal up to the longest: somebody has to change something first.
   */
  refusedDelayMs: 250,
  refusedDelayMsMax: 30_000,
  /** Time in ms after which a client that pauses so looks again whether its configuration or a trusted key has changed. */
  refusedLookMs: 1_000,
  /** How long a server waits before it answers a wrong password, so that guessing is slow. */
  authenticationFailureDelayMs: 400,
  /** Interval at which a server looks whether its users have changed, to end the sessions of those that are gone. */
  usersCheckMs: 1_000,
  /** How long a new connection may take to authenticate. Then the server closes it. */
  handshakeTimeoutMs: 5_000,
  /**
   * How long a client may rely on a lease after it sent the last request that the server answered. Then it asks
   * again.
   */
  leaseMs: 1_000,
  /** Grace that a server adds to `leaseMs` before it lets another client in, to absorb the drift of clocks. */
  leaseSlackMs: 100,
  /** How long a lease is renewed after its last use. Then it runs out. */
  leaseIdleMs: 10_000,
  /** How long a change that was answered may wait for others, to be stored together with them. */
  behindMs: 10,
  /** Pause before changes that could not be stored are tried again. */
  behindRetryMs: 1_000,
  /** How old an in-doubt transaction must be before a repair decides it, so that its client can finish first. */
  undecidedPatienceMs: 200,
  /**
   * How long a client tries a change again that conflicts with others (then EBUSY), or looks for the outcome of a
   * commit (then the error is `unknownOutcome`).
   */
  transactionPatienceMs: 10_000,
  /** How long `dfc` keeps its connections at the prompt after an operation. The next one connects again. */
  promptIdleMs: 1_000,
  /** Longest line that `dfc` reads from a script. Beyond it the input is no script. */
  promptLineBytesMax: 1024 * 1024,
  /** Longest time that a mount waits for servers which are not up yet. */
  mountWaitMsMax: 24 * 3_600_000,
  /** Pause between two looks of such a mount. */
  mountWaitStepMs: 200,
  /** How long `dfc web` keeps its connections after an answer, for the questions that come with that of a page. */
  webIdleMs: 500,
  /**
   * Pause of `dfc status --wait` after its first look, and by which each further one is longer; how often it asks
   * without a login who is there meanwhile.
   */
  statusWaitMs: 1_000,
  statusWaitMsMax: 5_000,
  /** Pause between two looks while a server is away, unless another answer comes sooner. */
  watchMsMax: 30_000,
  /** How far a clock may be off before a line about it is logged. */
  clockOffsetMsMax: 60_000,
  /** How far a client's clock may differ from the servers' time and be used instead of it. */
  clockAgreesMs: 1_000,
  /**
   * Milliseconds per millisecond by which two clocks may drift apart. A clock that is slewed drifts more, and is
   * then noticed.
   */
  clockDriftMax: 1e-4,
  /** How far a version may be ahead of a server's clock. The server refuses one that is further ahead. */
  clockAheadMsMax: 5 * 60_000,
  /**
   * Versions further ahead of the servers' time are not followed by a client. It is less than `clockAheadMsMax`, so that
   * a server whose clock is a little behind takes what follows them.
   */
  clockFollowedMsMax: 150_000,
  /** How long a connection may be idle before TCP probes whether its peer is still there. */
  keepAliveMs: 60_000,

  // Repair: how soon after a server came back, after a failure, and when nothing happens.
  /** Pause before a repair begins after a server has come back. */
  repairDelayMs: 1_000,
  /**
   * How long its client must have changed nothing before a repair begins by itself, but see
   * `repairDeferralMs`.
   */
  repairQuietMs: 300,
  /**
   * How long a repair that begins by itself may be put off because its client is busy. Then it begins all the same.
   */
  repairDeferralMs: 10_000,
  /** Longest pause between two steps of a repair whose client is busy. */
  repairPauseMsMax: 100,
  /** Pause before the next repair after one that failed or left something. */
  repairRetryMs: 5_000,
  /** Pause between two repairs when nothing happens. */
  repairIntervalMs: 60_000,
  /** Least age at which a sweep lets records, tombstones and replaced content go. */
  sweepAgeMs: 60_000,
  /**
   * Most corrupt copies of pieces that a client or a server remembers, and most corrupt registers of an account.
   * Further ones are not noted until these are repaired.
   */
  badCopiesMax: 10_000,
  /** Most files with lost data that a repair names in the log. The others are counted in one line. */
  lostFileLinesMax: 100,
  /** Age at which a file without a name is taken to belong to a mount that died, and is deleted. */
  orphanAgeMs: 48 * 3600_000,
  /** How often a mount renews the files without a name that it has open, so that they do not reach `orphanAgeMs`. */
  orphanRenewalMs: 3600_000,

  /** Longest time for which an account may keep what was removed or replaced. */
  trashMsMax: 3650 * 24 * 3600_000,
  /**
   * Most removed files and versions that an account keeps. Beyond it a repair removes the oldest, however young they
   * are.
   */
  trashEntriesMax: 100_000,
  /** Records of the trash that STATUS looks at, so that it takes two seconds at most. The others it counts. */
  trashEntriesLookedMax: 20_000,
  /** Files that leave the trash in one transaction. */
  trashEntriesAtOnce: 64,
  /** Most files that one repair removes from the trash. The rest follows in the next one. */
  trashEntriesPerRepair: 32_768,
  /** Least bytes of content that leave the trash at once when there is no room, so that it is not swept for each write. */
  trashRoomBytes: 64 * MiB,
  /** How long a write waits for the room of what has left the trash, after a sweep. */
  trashRoomWaitMs: 3_000,
  /** Attempts at a write that finds no room, while the trash gives some back. */
  trashRoomAttemptsMax: 4,
  /**
   * Most bytes of an inode that the trash keeps a copy of, so that the copy and the new inode are one message. A file
   * of more segments and extents is not kept.
   */
  keptValueBytesMax: 192 * KiB,
  /**
   * Versions of one file, or removed files of one name, that are kept although they follow one another quickly. Each
   * `versionIntervalMs` gives one back.
   */
  versionBurst: 10,
  /** A file that is replaced all the time keeps the last version of each such interval. */
  versionIntervalMs: 60_000,
  /** A file that only grows keeps the last version of each such interval: nothing of it is lost meanwhile. */
  appendIntervalMs: 600_000,
  /** Files and names of which a client remembers how often they were replaced or removed lately. */
  versionedFilesMax: 10_000,

  // Client memory and parallelism.
  /** Files that one `dfc put -r` or `get -r` transfers at once. Others wait. */
  filesInFlightMax: 4,
  /** Segments that a client uploads at once. Others wait. */
  segmentPutsInFlightMax: 8,
  /** Frames of pieces that a client has sent to one server without an answer yet. Others wait. */
  putFramesInFlightMax: 4,
  /** Reads of pieces that a client has in progress, each of at most `framePayloadBytesMax`. Others wait. */
  fetchesInFlightMax: 16,
  /** Reads of small pieces that a client has in progress beside those of `fetchesInFlightMax`. Others wait. */
  smallFetchesInFlightMax: 256,
  /** Most small pieces that one request asks for. More are asked for in several requests. */
  smallPiecesPerRequestMax: 64,
  /**
   * How much longer than the others a server may take before a client goes on without it, where the others are
   * enough.
   */
  hedgeMs: 300,
  /** Pause between two probes whether a slow server has become quick again. */
  slowProbeMs: 1_000,
  /** Most requests that a slow server may leave unanswered. Beyond it no more are sent, as if it were down. */
  slowRequestsMax: 256,
  /** Memory of a client for blocks that it read. Beyond it those go that were used least recently. */
  blockCacheBytesMax: 64 * MiB,
  /**
   * Small segments stored last that a client keeps in memory, for a write that continues one. Beyond it the oldest
   * goes.
   */
  storedSegmentsMax: 128,
  /** Names and inodes that a client remembers. Beyond it those go that were used least recently. */
  registerCacheEntriesMax: 50_000,
  /**
   * Memory of a client for Bloom filters of names that left the cache of registers: a name that is not in the
   * filter does not exist. Beyond it the filters of other folders go.
   */
  forgottenNamesBytesMax: 8 * MiB,
  /** Attempts at a look-up or change that other clients get in the way of, before it fails. */
  conflictAttemptsMax: 12,
  /** How long a client without a lease answers from what it remembers. Then it asks again. */
  cacheLifeMs: 1_000,
  /**
   * Names of a folder that cost as much to read as one look-up. A folder is read whole when its look-ups have cost
   * more than that would.
   */
  namesPerLookup: 16,
  /** Most names of a folder that is read whole because of look-ups. A larger one is not. */
  knownNamesMax: 25_000,
  /**
   * Least names per page, on average, for which reading a folder whole goes on. With fewer it is given up: removed
   * names take room in pages, too.
   */
  knownNamesPerPageMin: 128,
  /** Look-ups in a folder before it is read whole again after that was given up. */
  lookupsAfterVainReading: 256,
  /**
   * Bytes that the first read-ahead of a sequential reader fetches. Each further one fetches more, up to
   * `readAheadBytesMax`.
   */
  readAheadBytesMin: 256 * KiB,
  /** Most bytes that are read ahead for one sequential reader. */
  readAheadBytesMax: 8 * MiB,
  /**
   * Most bytes that are read ahead for all readers together, so that they do not drive one another out of the
   * cache. Beyond it nothing is read ahead.
   */
  readAheadTotalBytesMax: 32 * MiB,
  /**
   * Bytes that stay in the cache behind a reader who goes through a big file. Those further behind are dropped: the
   * kernel has them.
   */
  readBehindBytesMax: 2 * MiB,
  /** Decisions that wait for a commit to travel with. With more they are sent at once. */
  decisionsPendingMax: 64,
  /**
   * How long a decision waits for a commit to travel with. A client that meets its lock waits as long before it
   * recovers.
   */
  decisionDelayMs: 15,

  // Mount.
  /** Requests of the kernel that a mount works on at once. The others wait in the kernel. */
  mountRequestsMax: 64,
  /**
   * How long a request of the kernel may take, longer than all other deadlines. Then it is answered with ETIMEDOUT.
   */
  mountOperationTimeoutMs: 150_000,
  /** How long the kernel may answer from names and attributes that a mount has returned. */
  kernelCacheMs: 1_000,
  /**
   * How long it may do so while the mount is alone. It is told when that ends, by then or earlier.
   */
  kernelCacheAloneMs: 30_000,
  /**
   * Files of which a mount remembers what it has returned to the kernel. Beyond it those go that were used least
   * recently.
   */
  kernelCacheEntriesMax: 20_000,
  /**
   * How long after a look-up a program may still arrive with the result of it. Names that the kernel was given are
   * remembered that long.
   */
  nameBelievedMs: 6_000,
  /** Most names leading to an inode that an open checks again. With more the kernel has to look them up itself. */
  namesToldMax: 8,
  /** Files of which a mount remembers what failed. Beyond it those go that failed least recently. */
  failingFilesMax: 1_000,
  /** The latest failures of a mount that it tells of itself. */
  failuresShownMax: 20,
  /** The end of a log that an archive of `dfc doctor` takes. */
  doctorLogBytesMax: 1 * MiB,
  /** Pieces of a file that are named when they cannot be read. More are counted. */
  missingPiecesShownMax: 10,
  /** How long another program waits for the answer of a mount's daemon to anything but an unmount. */
  controlAnswerMs: 3_000,
  /** Bytes of a request to the daemon of a mount, and of its answer: one line each. */
  controlLineBytesMax: 1024 * KiB,
  /** Most open files and folders of a mount. One more open fails with ENFILE. */
  handlesMax: 65_536,
  /**
   * Pages of an open folder that a mount remembers. Beyond it the oldest goes and is read again when it is needed.
   */
  folderPagesRememberedMax: 4,
  /**
   * Positions in listings that a mount remembers for all folders together, as names: at least this many, at most
   * twice as many.
   */
  positionsRememberedMin: 65_536,
  /**
   * Folders of which a mount remembers the latest page, to fetch small files ahead. Beyond it those go that were
   * used least recently.
   */
  siblingFoldersMax: 4,
  /** Small files that are fetched ahead of a reader that reads those of a folder in their order. */
  siblingsAheadMax: 16,
  /** Folders that are listed ahead of a reader that opens those of a folder in their order. */
  siblingFoldersAheadMax: 64,
  /** Most names of a folder that is listed ahead of a reader. */
  siblingFolderNamesMax: 256,
  /**
   * Memory of a mount for bytes that are written and not stored, of all files together. Beyond it writers wait, or
   * their drafts spill to disk.
   */
  draftBytesMax: 128 * MiB,
  /** Age at which a draft that was only appended to is committed, though its file stays open. */
  draftAgeMsMax: 30_000,
  /** Most separate dirty ranges of one file in memory. Beyond it they move to the spill file. */
  draftRunsMax: 4096,
  /** Most bytes in the spill files of a mount. Beyond it a write fails with ENOSPC. */
  spillBytesMax: 4 * 1024 * MiB,
  /** Bytes of one buffer in which drafts keep what was written. */
  draftChunkBytes: 1 * MiB,
  /**
   * Least bytes of a write that waits in the memory of its request. A smaller one is copied, so that the request's
   * memory is free.
   */
  smallWriteBytes: 16 * KiB,
  /** Segments of one file that are uploaded while it is still being written. Others wait. */
  uploadsInFlightMax: 2,

  // Server.
  /**
   * Most connections of a server: `handshakesMax` that have not logged in, and the rest that have. When the rest is
   * taken, a new connection is closed at once.
   */
  connectionsMax: 1024,
  /**
   * Most connections of a server that have not logged in. For one more, the oldest of the host that has the most of
   * them is closed.
   */
  handshakesMax: 256,
  /** TLS handshakes that one host may make at once. Further ones wait until they are due by `tlsHandshakesPerSecond`. */
  tlsHandshakesAtOnce: 100,
  /** TLS handshakes of one host in a second. Those that would wait for half of `handshakeTimeoutMs` are closed. */
  tlsHandshakesPerSecond: 50,
  /**
   * How long a server works for one connection before it is the next user's turn. One request, or one part of it,
   * is not interrupted.
   */
  turnMs: 2,
  /**
   * Reads and writes of pieces that one user's connections have under way on a server. Others wait, and those of
   * other users go past them.
   */
  userDiskRequestsMax: 32,
  /**
   * Requests of one connection that a server works on at once. Then it reads no more from it until some are
   * answered.
   */
  connectionRequestsMax: 256,
  /**
   * Most bytes of one connection's requests that a server works on at once. Then it reads no more from it until
   * some are answered.
   */
  connectionBytesMax: 8 * MiB,
  /** Most bytes of replies that wait for one client to read them. Then the server takes no more of its requests. */
  connectionReplyBytesMax: 16 * MiB,
  /**
   * Connections that get their full share of `connectionBytesMax` and the other bounds of memory. With more
   * connections that much memory is divided among them.
   */
  fullShareConnections: 8,
  /**
   * Most connections of one user, so that no user takes all connections of a server. One more is refused with
   * `overloaded`.
   */
  userConnectionsMax: 256,
  /**
   * Most in-doubt transactions of one account. With more a server votes for none until some are decided, and
   * answers `overloaded`.
   */
  undecidedRecordsMax: 20_000,
  /** How long logged votes and their decisions may wait before they are written to the index. */
  lateMs: 200,
  /**
   * Logged votes and decisions that are written to the index in one turn, so that a new vote does not wait for all
   * of them.
   */
  lateCountAtOnce: 16,
  /** Pause between two such turns of writing logged votes to the index. */
  lateTurnMs: 1,
  /** Logged votes and decisions that may wait. With more they are all written to the index at once. */
  lateCountMax: 1024,
  /** Bytes of logged votes that may wait. With more they are all written to the index at once. */
  lateBytesMax: 4 * MiB,
  /** Pause between two pages of rows when a server checks its index by itself. */
  checkPauseMs: 2,
  /**
   * Registers of one account that are kept in memory, besides those with an open transaction. Beyond it the older
   * half goes.
   */
  recentRegistersMax: 1024,
  /** Longest value of a register that is kept in memory. A longer one is read from the index each time. */
  recentValueBytesMax: 1 * KiB,
  /**
   * Series of segment ids of which the index remembers the greatest id. Beyond it all are forgotten and read again.
   */
  segmentSeriesMax: 256,
  /**
   * Memory for the in-doubt transactions of one account. With more a server votes for none until some are decided,
   * and answers `overloaded`.
   */
  undecidedBytesMax: 128 * MiB,
  /**
   * Longest piece that is stored in the account's index, because a file costs far more than its bytes. Longer
   * pieces are files.
   */
  smallPieceBytesMax: 16 * KiB,
  /**
   * Buffers of `PageMemory`, for parts of pieces, in a server and in a mount. Beyond it other memory is taken,
   * which the garbage collector frees.
   */
  pageBuffersMax: 24,
  /**
   * Parts of pieces of which a server remembers that they are in the kernel's cache or belong there. Beyond it
   * those go that were used least recently.
   */
  cachedPartsMax: 4096,
  /** Least age at which a server deletes a piece that no register refers to. */
  abandonedPieceGraceMs: 24 * 3600_000,
  /** Most bytes of a frame before authentication. The server closes the connection on a longer one. */
  handshakeFrameBytesMax: 4 * KiB,
  /** How long a client may read nothing of its replies. Then the server closes the connection. */
  replyStallMs: 30_000,
  /** How long a closing connection may take to send its last replies. Then it is destroyed. */
  connectionCloseMs: 5_000,
  /** Pieces that one connection may upload part by part at once. One more is refused with `overloaded`. */
  uploadsMax: 64,
  /** Pieces that a server receives part by part at once, of which a user gets half of what the others have left. */
  serverUploadsMax: 16_384,
  /**
   * Memory for frames of one user of which a part has arrived. With more, the connections with the latest ones are
   * not read from until some are whole.
   */
  userFrameBytesMax: 64 * MiB,
  /** Time in which a frame that has begun has to get on by `frameProgressBytes`, or to its end. Else the connection is closed. */
  frameStallMs: 30_000,
  /** Bytes by which a frame has to get on in `frameStallMs`. */
  frameProgressBytes: 64 * KiB,
  /** How long an unfinished piece may get no part before it is dropped to make room for others. */
  uploadIdleMs: 60_000,
  /** How long an account stays open after its last connection. */
  accountLingerMs: 60_000,
  /** Least pause before an account whose disk failed is tried again. */
  diskRetryMs: 2_000,
  /** How long a server keeps files that belong to no piece aside before it deletes them. */
  strayKeptMs: 30 * 24 * 3600_000,
  /** How long a client sends the pieces of a full server to its neighbours before it tries that server again. */
  fullServerMs: 5_000,
  /** Files of one user's pieces that a server syncs to disk at once. Others wait. */
  syncsInFlightMax: 4,
  /** How long a server that stops waits for the answers in progress. */
  stopDrainMs: 5_000,
  /** Most bytes of a configuration, or a file with a password, and of one read of it. */
  namedFileBytesMax: 64 * MiB,
  namedFileReadBytes: 64 * KiB,
  /** How long a program is waited for that is to write into a pipe in the place of such a file, and then for its end. */
  pipeWriterMs: 5_000,
  pipeReadMs: 300_000,
  /** Pause between two looks at such a pipe. */
  pipePollMs: 20,
  /** How long the metrics of a server wait for its disk to say how much room it has. */
  diskRoomMs: 1_000,
  /** How long `dfc` waits at a signal for temporary files that a slow disk is just making, to remove them. */
  temporariesEndMs: 5_000,
  /** Times that the log says the same line until it did not come for `sameLineMs`. Further ones are counted. */
  sameLineMax: 3,
  /** Lines of one kind that differ, such as connections that were refused, and are treated so. */
  sameKindMax: 20,
  /** Time in ms after which how many more came is said in one line. */
  sameLineMs: 600_000,
  /** That time in ms doubles up to this, while such lines come. */
  sameLineMsMax: 86_400_000,
  /** Kinds and lines that are counted. Those beyond are all said. */
  repeatedObjectsMax: 1024,
  /** Size in bytes at which the log of a program is set aside as FILE.1, in the place of the one before. */
  logFileBytesMax: 8 * 1024 * 1024,
  /** Connections to the metrics of a program at once; for one more the oldest is closed. */
  metricsConnectionsMax: 16,
  /** Time in ms within which a request for metrics, or of the page of `dfc web`, has to arrive. */
  httpRequestMs: 10_000,
  /** Ports that are tried for metrics, one after the other: programs of one machine may have one configuration. */
  metricsPortsMax: 8,
  /** Time in ms between two looks of `dfc top`, from which it makes rates. */
  topEveryMs: 1_000,
  /** Programs that `dfc top` shows for each mount, those that waited longest first. */
  topProgramsMax: 10,
  /** Connections to the page of `dfc web` at once; for one more the oldest is closed. */
  webConnectionsMax: 32,
  /** Age in ms up to which the state of the servers is shown to another page as well. A page asks every 5 s. */
  webStatusAgeMs: 2_000,
  /** Names of a folder, and segments of a file, that the page shows. */
  webNamesMax: 500,
  webSegmentsMax: 64,
  /** Programs that use a mount whose operations are counted apart. With more, those that came first are forgotten. */
  mountProgramsMax: 1024,
} as const

assert(limits.segmentBytesMax % (limits.pieceCount * limits.blockBytes) === 0)
assert(limits.fullDiskBytes === (2 * limits.segmentBytesMax) / limits.pieceCount)
assert(limits.framePayloadBytesMax % limits.blockBytes === 0)
assert(limits.readAheadTotalBytesMax <= limits.blockCacheBytesMax / 2)
assert(limits.knownNamesMax <= limits.registerCacheEntriesMax / 2)
assert(limits.frameBytesMax <= limits.userFrameBytesMax)
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
assert(limits.kernelCacheMs < limits.kernelCacheAloneMs)
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
