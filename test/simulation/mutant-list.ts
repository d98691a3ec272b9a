/**
 * The deliberate bugs: first one for every row of "Why each rule is there" in the decision record,
 * then others that a programmer could make. `from` and `to` are of the compiled program.
 */

import type { Focus } from './world.js'

export interface Edit {
  /** Below dist/src. */
  readonly file: string
  readonly from: string
  readonly to: string
}

export interface Mutant {
  readonly name: string
  /** What the runs that look for it are about, where not any will do. */
  readonly focus?: Focus
  readonly edits: readonly Edit[]
}

const acceptor = 'dfs/quorum/acceptor.js'
const transactionTable = 'dfs/quorum/transaction-table.js'
const transaction = 'dfc/quorum/transaction.js'
const recovery = 'dfc/quorum/recovery.js'
const registers = 'dfc/quorum/registers.js'
const listPages = 'dfc/quorum/list-pages.js'
const localLog = 'dfc/namespace/local-log.js'
const storeAttempts = 'dfc/namespace/store-attempts.js'
const client = 'dfc/client.js'
const givenUp = 'dfc/namespace/given-up.js'
const earlyAnswers = 'dfc/namespace/early-answers.js'
const journal = 'dfc/namespace/journal.js'
const nodeCache = 'dfc/namespace/cache/node-cache.js'

function mutant(name: string, file: string, from: string, to: string, focus?: Focus): Mutant {
  return { name, edits: [{ file, from, to }], ...(focus === undefined ? {} : { focus }) }
}

/** A file that counts with numbers of its own: with them in the table no program would begin. */
function lowered(name: string, file: string, numbers: string): Mutant {
  return mutant(
    name,
    file,
    "import { quorum } from '../../wire/quorum.js';",
    `import { quorum as table } from '../../wire/quorum.js'; const quorum = { ...table, ${numbers} };`,
  )
}

export const mutants: readonly Mutant[] = [
  // -- the rows of the table ---------------------------------------------------------------------
  mutant(
    'ballots: the owner aborts without one',
    transaction,
    'let fate = await this.#recovery.recover(id, body);',
    `await this.#cluster.ask(this.#cluster.voters, 'decide', () => ({ decisions: [{ id, commit: false, body }] }));
     let fate = 'aborted';`,
  ),
  mutant(
    'ballots: a promise does not keep a late vote out',
    acceptor,
    "return refuse(known.yes ? 'yes' : 'promised');",
    "if (known.yes) return refuse('yes');",
  ),
  {
    name: 'ballots: an older ballot is accepted',
    focus: 'ballots',
    edits: [
      { file: acceptor, from: 'if (ballot < record.promised)', to: 'if (false)' },
      { file: acceptor, from: 'if (ballot <= record.promised)', to: 'if (false)' },
    ],
  },
  mutant(
    'locked(by) in accept: not looked at',
    acceptor,
    "return answer('locked', { by });",
    ';',
    'ballots',
  ),
  mutant(
    'holders rule: after the highest accepted value',
    recovery,
    'if (holders + (limits.serverCount - promises.length) < quorum.commit)',
    'if (promises.every((reply) => reply.acceptedBallot === 0) && holders + (limits.serverCount - promises.length) < quorum.commit)',
    'ballots',
  ),
  mutant(
    'epoch: an older one is let in',
    acceptor,
    'if (epoch < this.#accountState.epoch)',
    'if (false)',
    'repairs',
  ),
  mutant(
    'epoch: not raised before a fill',
    'dfc/repair/fill.js',
    "await askEach(cluster, donors, 'epoch', () => ({ epoch }));",
    '',
    'repairs',
  ),
  {
    name: 'fence and floor: neither is looked at',
    focus: 'repairs',
    edits: [
      { file: acceptor, from: 'if (id <= this.#accountState.fence)', to: 'if (false)' },
      {
        file: transactionTable,
        from: '(exists || version > this.#accountState.floor)',
        to: 'true',
      },
    ],
  },
  mutant(
    'floor: a late write brings back what was dropped',
    transactionTable,
    '(exists || version > this.#accountState.floor)',
    'true',
    'repairs',
  ),
  mutant(
    'fence: not raised before the survey',
    'dfc/repair/sweep.js',
    'await raiseFences(cluster, floor);',
    '',
    'repairs',
  ),
  {
    name: 'id > version: a slow clock may write',
    edits: [
      { file: acceptor, from: 'if (id <= register.version)', to: 'if (false)' },
      { file: 'dfc/cluster/cluster.js', from: 'if (version > above)', to: 'if (false)' },
    ],
  },
  mutant(
    'shared locks: not taken',
    'dfs/quorum/locks.js',
    'addTo(this.#shared, key, id);',
    ';',
    'ballots',
  ),

  // -- others ------------------------------------------------------------------------------------
  lowered('two votes are enough', transaction, 'commit: 2'),
  lowered('two promises are enough', recovery, 'promise: 2, accept: 2, commit: 2'),
  {
    name: 'a read asks one server',
    edits: [
      { file: registers, from: 'askSome(quorum.read, order,', to: 'askSome(1, order,' },
      { file: registers, from: 'if (isTooFew(replies, voters))', to: 'if (false)' },
    ],
  },
  mutant(
    'a read does not look at locks',
    registers,
    'if (isLocked && replies.length >= quorum.read)',
    'if (false)',
  ),
  mutant(
    'a read takes the first reply',
    registers,
    '(register.version > best.version ? register : best)',
    '(best)',
  ),
  mutant(
    'an older decision is applied over a newer one',
    transactionTable,
    'return version > current.version && ',
    'return version !== current.version && ',
    'repairs',
  ),
  mutant(
    'absent: a live value is let pass',
    acceptor,
    'else if (absent || register.version !== version)',
    'else if (!absent && register.version !== version)',
  ),
  mutant(
    'a folder is removed though it is not empty',
    acceptor,
    'if (this.#index.folders.get(folder).live === 0)',
    'if (true)',
  ),
  mutant(
    'a decision does not write tombstones',
    transactionTable,
    'this.set(key, id, value);',
    'if (value !== null) this.set(key, id, value);',
  ),
  {
    name: 'install before mark: the floor passes what a server lacks',
    focus: 'repairs',
    edits: [
      {
        file: 'dfc/repair/heal.js',
        from: 'const found = later.filter(({ version }) => !isLeftAlone(version));',
        to: 'const found = [];',
      },
    ],
  },
  mutant(
    'a vote takes no locks',
    transactionTable,
    'this.#undecided.set(record.id, { ...record, body: ownCopy(record.body) });\n        this.locks.take(record.id, record.body);',
    'this.#undecided.set(record.id, { ...record, body: ownCopy(record.body) });',
  ),
  mutant(
    'locks are forgotten when a server starts',
    transactionTable,
    'if (body !== null && (record.yes || record.everCommit))',
    'if (false)',
  ),
  {
    name: 'a vote is only in memory',
    edits: [
      {
        file: transactionTable,
        from: 'this.#index.records.put({ ...record, body, commit: null });',
        to: '',
      },
      {
        file: 'dfs/quorum/vote-log.js',
        from: 'this.#entries.push(...entries.map((entry) => Buffer.from(entry)));',
        to: '',
      },
    ],
  },
  mutant(
    'a vote waits for the index in memory only',
    'dfs/quorum/vote-log.js',
    'this.#entries.push(...entries.map((entry) => Buffer.from(entry)));',
    '',
    'ballots',
  ),
  mutant(
    'an accepted commit is forgotten',
    acceptor,
    'everCommit: record.everCommit || commit,',
    'everCommit: false, accepted: 0,',
    'ballots',
  ),
  mutant(
    'recovery aborts where nothing was accepted',
    recovery,
    'return acceptedBallot(promises, true) >= acceptedBallot(promises, false);',
    'return acceptedBallot(promises, true) > acceptedBallot(promises, false);',
  ),
  mutant(
    'an unknown outcome is taken for a failure',
    transaction,
    "throw new DfsError('unknownOutcome', undefined, { cause: attempt.failure });",
    'return this.#failed(attempt);',
  ),
  mutant(
    'a server that was asked and did not answer is forgotten',
    transaction,
    "if (isError(error, 'down', 'disk', 'io', 'damaged'))",
    'if (false)',
    'ballots',
  ),
  {
    // Clients do not ask one of which they know; the server does not rely on them.
    name: 'a blank server votes',
    focus: 'repairs',
    edits: [
      {
        file: 'dfs/quorum/account-state.js',
        from: "voting: ['voting'],",
        to: "voting: ['voting', 'blank'],",
      },
      { file: acceptor, from: "assert.equal(this.state, 'voting');", to: '' },
      { file: 'dfc/cluster/cluster.js', from: 'link.isUp && !link.blank', to: 'link.isUp' },
    ],
  },
  {
    name: 'a fill copies from one server',
    focus: 'repairs',
    edits: [
      {
        file: 'dfc/repair/fill.js',
        from: 'shownRegisters(cluster, donors, from, how)',
        to: 'shownRegisters(cluster, donors.slice(0, 1), from, how)',
      },
      {
        file: 'dfc/repair/fill.js',
        from: 'if (holders.length < quorum.believe)',
        to: 'if (holders.length < 1)',
      },
    ],
  },
  mutant(
    'what servers have is not compared where their digests differ',
    'dfc/repair/differences.js',
    'if (!areSame(digests))',
    'if (false)',
    'repairs',
  ),
  mutant(
    'a fill leaves the undecided alone',
    'dfc/repair/fill.js',
    'const { left } = await finishInDoubt(cluster, recovery, donors);',
    'const left = [];',
    'repairs',
  ),
  mutant(
    'a create does not depend on its folder',
    'dfc/namespace/plans/creation.js',
    'change.requireNode(folder);',
    '',
  ),
  mutant('a link is not counted', 'dfc/namespace/plans/link.js', 'nlink: nlink + 1,', 'nlink,'),
  mutant(
    'getattr answers from the cache',
    'dfc/namespace/lookup.js',
    'const cached = fresh ? this.#cache.leasedNode(ino) : this.#cache.freshNode(ino);',
    'const cached = this.#cache.staleNode(ino);',
  ),
  mutant(
    'blocks of different segments are mixed up',
    'dfc/content/segment-reader.js',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is compiled code.
    'return `${id}.${piece}.${chunkAt}`;',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is compiled code.
    'return `${id.length}.${piece}.${chunkAt}`;',
  ),
  mutant(
    'checksums are not checked',
    'wire/checksum.js',
    'if (checksums.length !== Math.ceil(bytes.length / blockBytes))',
    'if (blockBytes > 0) return true; if (false)',
  ),
  mutant(
    'no substitutes while a server is away',
    'wire/placement.js',
    'if (gone === undefined || absent.size > 1)',
    'if (true)',
  ),
  mutant(
    'a server lost in the middle of a put is forgotten',
    'dfc/content/segment-writer.js',
    'lost.push({ server, error });',
    ';',
  ),
  mutant(
    'a server that comes back during a commit votes for its content without pieces',
    'dfc/content/prepared-segment.js',
    'absent.has(server) ? pieceNumbers : piecesFor(server, rotation, absent)',
    'piecesFor(server, rotation, absent)',
    'ballots',
  ),
  mutant(
    'references to segments are not counted',
    'dfs/index/segments.js',
    'this.#statements.refer.run(id, length, md5, now, this.#homeOf(length, md5));',
    `this.#statements.refer.run(id, length, md5, now, this.#homeOf(length, md5));
     this.#statements.unrefer.run(version, id);`,
  ),
  mutant(
    'a transaction of a clock that is ahead is left undecided',
    'dfc/repair/in-doubt.js',
    'return ageMs >= 0 && ageMs < patienceMs;',
    'return ageMs < patienceMs;',
  ),
  mutant(
    'a client takes the time of its versions from its own clock',
    'dfc/cluster/servers-time.js',
    'return this.#usesOwn ? undefined : this.#median + this.#clock.monotonic();',
    'return undefined;',
  ),
  mutant(
    'one server whose clock is ahead says what time it is',
    'dfc/cluster/servers-time.js',
    'this.#median = medianOf(samples.map(({ offsetMs }) => offsetMs));',
    'this.#median = Math.max(...samples.map(({ offsetMs }) => offsetMs));',
  ),
  {
    name: 'versions from the future are made, and taken',
    edits: [
      {
        file: 'dfc/cluster/servers-time.js',
        from: 'return this.#usesOwn ? undefined : this.#median + this.#clock.monotonic();',
        to: 'return undefined;',
      },
      {
        file: 'dfs/quorum/account-state.js',
        from: 'if (!isAhead(version, this.#now()))',
        to: 'if (true)',
      },
    ],
  },
  mutant(
    'what one server refuses for its clock is refused',
    transaction,
    "if (isError(error, 'clock')) {",
    "if (isError(error, 'clock')) {\n throw error;",
  ),
  mutant(
    'names are answered first also where others may change them',
    earlyAnswers,
    'if (lease.exclusiveForMs < leaseLeftMsMin || !this.#isCertain(body))',
    'if (false)',
    'leases',
  ),
  mutant(
    'of several changes of a name in one transaction the first one is stored',
    'dfc/namespace/batch.js',
    'this.#writes.set(key, value);',
    'if (!this.#writes.has(key)) this.#writes.set(key, value);',
    'leases',
  ),
  mutant(
    'an account goes on after its disk has failed, without being opened anew',
    'dfs/session/call.js',
    "isError(error, 'damaged', 'disk')",
    "isError(error, 'damaged')",
    'disks',
  ),
  mutant(
    'a server takes a login that is meant for one at another position',
    'dfs/disk/membership.js',
    'if (position !== this.#place.position)',
    'if (false)',
  ),
  // -- the log of answered changes: docs/decisions/0029 ------------------------------------------
  mutant(
    'log: of the changes of a refused transaction the last is stored first',
    storeAttempts,
    'return due.changes.map(single);',
    'return due.changes.map(single).reverse();',
    'leases',
  ),
  mutant(
    'log: a journal is stored from its end',
    localLog,
    'of journal.left)',
    'of journal.left.toReversed())',
    'leases',
  ),
  mutant(
    'log: what a journal has is stored under a new version',
    localLog,
    'this.#add(this.#open ?? this.#opened(id), change);',
    'this.#add(this.#open ?? this.#opened(this.#options.cluster.versionFor(change.body)), change);',
    'leases',
  ),
  mutant(
    'log: an answer that was on its way brings a deleted inode back',
    nodeCache,
    'if (removedAs !== undefined && (isBefore || register.version < removedAs))',
    'if (false)',
    'leases',
  ),
  mutant(
    'log: what a client before has stored of a journal is not relied on',
    storeAttempts,
    'this.#noteStoredAs(found, due.knownAs);',
    ';',
    'leases',
  ),
  mutant(
    'log: a file that was stored and removed is made again under its number',
    storeAttempts,
    "parseKey(key).kind === 'entry' ? absent : mayFollow && !absent && !written.has(key)",
    "absent || (mayFollow && parseKey(key).kind === 'inode' && !written.has(key))",
    'leases',
  ),
  mutant(
    'log: what is left of a transaction is stored under its id',
    localLog,
    'if (partial.has(due.knownAs))',
    'if (false)',
    'leases',
  ),
  mutant(
    'log: a change is answered before it is in the journal',
    localLog,
    'this.#journal.append({ id: batch.id, ...change });',
    '',
    'leases',
  ),
  mutant(
    'log: a change is forgotten in the journal when it is sent',
    localLog,
    'this.#open = undefined;\n        assert(batch.changes.length > 0',
    'this.#open = undefined;\n        this.#journal?.forget(batch.id);\n        assert(batch.changes.length > 0',
    'leases',
  ),
  mutant(
    'log: a stored change stays in the journal',
    localLog,
    'this.#journal?.forget(id);',
    ';',
    'leases',
  ),
  mutant(
    'log: of a refused batch the journal forgets all with the first change',
    localLog,
    'if (this.#due[0]?.knownAs === due.knownAs)',
    'if (false)',
    'leases',
  ),
  mutant(
    'log: the journal forgets what later changes rely on under another version',
    localLog,
    'if (this.#done < this.#relyingUpTo)',
    'if (false)',
    'leases',
  ),
  mutant(
    'log: a journal is read past a record that was cut short',
    journal,
    'if (length === 0 || whole.length < length)\n        return undefined;\n    return crc32(whole) === journal.readUInt32BE(at + 4) ? whole : undefined;',
    'return length === 0 ? undefined : whole;',
    'leases',
  ),
  mutant(
    'log: of a batch only the contents of the first change are sent',
    'dfc/namespace/batch.js',
    'const all = this.changes.flatMap(({ contents }) => contents);',
    'const all = this.changes[0].contents;',
    'leases',
  ),
  mutant(
    'log: a transaction is sent without its contents',
    storeAttempts,
    'transactions.commit(body, { id, contents })',
    'transactions.commit(body, { id })',
    'leases',
  ),
  mutant(
    'log: a folder is removed without a look at what is in it',
    earlyAnswers,
    'return emptyFolders.every((ino) => cache.leasedNames(ino)?.length === 0);',
    'return true;',
    'leases',
  ),
  mutant(
    'log: the lease is given back before answered changes are stored',
    'dfc/quorum/lease.js',
    "await this.#store?.().catch((error) => debugDfc('recall: %o', error));",
    '',
    'leases',
  ),
  {
    name: 'log: an answer of the servers replaces an inode that is not stored yet',
    focus: 'leases',
    edits: [
      {
        file: nodeCache,
        from: 'if (own !== undefined && isBefore)\n            return own;\n        const removedAs',
        to: 'const removedAs',
      },
      { file: nodeCache, from: 'if (isOld)\n', to: 'if (false)\n' },
    ],
  },
  mutant(
    'log: what a name meant before is taken for the inode that an answered change has given it',
    nodeCache,
    'if (view.version > entry.version && viewOf(entry).ino !== ino)',
    'if (false)',
    'leases',
  ),
  mutant(
    'log: a folder is listed without what could not be stored',
    'dfc/namespace/folder-reader.js',
    'if (own.length === 0)',
    'if (true)',
    'leases',
  ),
  mutant(
    'cache: a listing that was on its way lacks what was stored meanwhile',
    nodeCache,
    'if (atMs < sinceMs)',
    'if (true)',
    'leases',
  ),
  mutant(
    'log: what is stored before its answer overtakes what could not be stored',
    localLog,
    'if (isFree && this.#obstacle === undefined)',
    'if (first !== undefined)',
    'leases',
  ),
  mutant(
    'log: a change that needs the disk overtakes the log',
    localLog,
    'isOnDisk ? this.settle() : this.#ahead(body)',
    'isOnDisk ? undefined : this.#ahead(body)',
    'leases',
  ),
  mutant(
    'log: a client that begins without a server leaves alone what another one has left',
    client,
    'void this.#beginLog(options);',
    ';',
    'repairs',
  ),
  mutant(
    'log: the content of a change that is given up is not kept',
    givenUp,
    'await this.#keepContent({ ...file, inode: decodeInode(value), why });',
    ';',
    'leases',
  ),
  mutant(
    'log: a change that is given up is not told of',
    givenUp,
    'this.#first ??= why;',
    ';',
    'leases',
  ),
  mutant(
    'log: a refused batch is given up as a whole',
    storeAttempts,
    'if (due.changes.length > 1) {',
    'if (false) {',
    'leases',
  ),
  mutant(
    'log: a change is given up that a reader has aborted',
    storeAttempts,
    "outcome.why !== 'notEmpty' && (await this.#refresh(due))",
    'false',
    'leases',
  ),
  mutant(
    'log: a change relies on the version of another that was stored under a new one',
    storeAttempts,
    'if (id !== due.knownAs)',
    'if (false)',
    'leases',
  ),
  mutant(
    'log: an unmount does not wait for the log',
    localLog,
    'if (this.#count === 0)\n            return;\n        const upTo',
    'if (this.#due.length === 0)\n            return;\n        const upTo',
    'leases',
  ),
  // -- a server that lies: docs/decisions/0027 ---------------------------------------------------
  mutant(
    'lies: a reader takes the newest that one server shows',
    registers,
    'const best = isConfirmable ? confirmedIn(replies) : highest(replies);',
    'const best = highest(replies);',
    'lies',
  ),
  {
    ...lowered('lies: what one server shows is confirmed', 'dfc/quorum/confirmed.js', 'believe: 1'),
    focus: 'lies',
  },
  {
    name: 'lies: a repair installs what one server shows',
    focus: 'lies',
    edits: [
      {
        file: 'dfc/repair/differences.js',
        from: "import { quorum } from '../../wire/quorum.js';",
        to: "import { quorum as table } from '../../wire/quorum.js'; const quorum = { ...table, believe: 1 };",
      },
      {
        file: 'dfc/repair/install.js',
        from: "assert(difference.holders.length >= quorum.believe, 'one server alone shows it');",
        to: '',
      },
      {
        file: 'dfc/repair/install.js',
        from: 'return newestConfirmed(replies.flatMap(({ registers }) => registers[index]?.register ?? []));',
        to: 'return replies.flatMap(({ registers }) => registers[index]?.register ?? [])[0];',
      },
    ],
  },
  mutant(
    'lies: a fill copies what one donor shows',
    'dfc/repair/fill.js',
    'if (holders.length < quorum.believe)',
    'if (holders.length < 1)',
    'lies',
  ),
  mutant(
    'lies: a decision that one server tells of is adopted',
    recovery,
    'if (tellers(fate) < quorum.believe)',
    'if (tellers(fate) < 1)',
    'lies',
  ),
  mutant(
    'lies: a ballot takes the body that one server tells',
    recovery,
    'if (bodies.length < quorum.believe)',
    'if (bodies.length > 0) return bodies[0];\n    if (bodies.length < quorum.believe)',
    'lies',
  ),
  mutant(
    'lies: one server keeps a list without end',
    listPages,
    'const wrongMax = replies.length >= quorum.settle ? quorum.believe - 1 : 0;',
    'const wrongMax = 0;',
    'lies',
  ),

  // -- the trash ---------------------------------------------------------------------------------
  mutant(
    'trash: a file that goes while it is open is not kept',
    'dfc/namespace/plans/lost-name.js',
    'await keepRemoved(change, sources, node, place)',
    'if (!isOpen(ino)) await keepRemoved(change, sources, node, place)',
  ),
  mutant(
    'trash: a folder is not kept',
    'dfc/namespace/plans/lost-name.js',
    'await keepRemoved(change, sources, node, { parent, name });',
    '',
  ),
  mutant(
    'trash: a folder that is restored has its place in the trash',
    'dfc/namespace/plans/restoration.js',
    'parent: isFolder ? parent : 0,',
    '',
  ),
  mutant(
    'trash: a folder that is kept there takes new files',
    'dfc/namespace/lookup.js',
    'if (node.inode.parent === trashIno)',
    'if (false)',
    'leases',
  ),
  mutant(
    'trash: a segment that a version has goes with the file',
    'dfs/index/segments.js',
    'refs = refs - 1, released',
    'refs = 0, released',
  ),
  mutant(
    'trash: what is restored is also still there',
    'dfc/namespace/plans/restoration.js',
    'change.writeEntry(trashIno, kept, null);',
    '',
  ),
  mutant(
    'trash: what is kept is what replaced it',
    'dfc/namespace/plans/keep.js',
    'await keep(change, sources, node, record);\n    change.afterwards(() => trash.rule.kept(',
    'await keep(change, sources, { ...node, inode: { ...node.inode, extents: after.extents } }, record);\n    change.afterwards(() => trash.rule.kept(',
  ),
  mutant(
    'trash: what another client has restored is removed for good',
    'dfc/namespace/plans/expunging.js',
    'change.requireEntry(trashIno, name, entry);',
    'change.requireEntry(trashIno, name, { ...entry, ino: null });',
  ),
]
