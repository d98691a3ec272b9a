/**
 * The rules of docs/decisions/0001 and of the decisions after it that the model can run without, each to
 * show what it is there for. On the command line `-argument` turns a rule off and `written` turns all off.
 */
interface Rule {
  readonly argument: string
  /** The rule in a sentence. */
  readonly text: string
}

export const ruleTable = {
  bodilessRecords: {
    argument: 'nobody',
    text: 'A decided record keeps its id and decision, and drops its body (0002).',
  },
  installBeforeMark: {
    argument: 'installfirst',
    text: 'The effect of a decision is installed on a server before the decision is marked there.',
  },
  emptyFolderChecked: {
    argument: 'empty',
    text: 'Every server checks that a folder which must be empty is empty.',
  },
  ballots: {
    argument: 'ballot',
    text: 'An interrupted transaction is decided by ballot, not by counting votes.',
  },
  acceptMeetsLocks: {
    argument: 'block',
    text: 'A server accepts no commit while another transaction holds a conflicting lock.',
  },
  epochBeforeFill: {
    argument: 'epoch',
    text: 'The epoch is raised on the donors before a fill, and older commits are refused.',
  },
  threeDonors: {
    argument: 'fill3',
    text: 'A fill copies from three donors.',
  },
  floor: {
    argument: 'floor',
    text: 'Records and tombstones are dropped up to a floor, above which alone changes apply.',
  },
  idAboveReplaced: {
    argument: 'clock',
    text: 'The id of a transaction is above the version of what it replaces.',
  },
  fillEpochs: {
    argument: 'sess',
    text: 'A fill names its epoch, and a newer fill ends an older one.',
  },
  readAgainAtLocks: {
    argument: 'readfix',
    text: 'A reader waits only for a lock above the highest version that it has seen.',
  },
  fenceBeforeSurvey: {
    argument: 'twophase',
    text: 'A sweep raises the fence on all servers before it surveys them.',
  },
  holdersFirst: {
    argument: 'fate',
    text: 'A recovery aborts what too few can hold, whatever was accepted by the highest ballot.',
  },
  sharedLocks: {
    argument: 'shared',
    text: 'Keys that are only preconditions are locked too, shared with each other.',
  },
  rottenNotWritten: {
    argument: 'rotskip',
    text: 'A register that has rotted takes no change until it is restored.',
  },
  restoreMarked: {
    argument: 'rotmark',
    text: 'A restore counts only if no change was skipped since the server was asked.',
  },
  restoreQuorum: {
    argument: 'rotquorum',
    text: 'A rotten register is restored from two other servers.',
  },
  restoreMeetsLocks: {
    argument: 'rotlock',
    text: 'A rotten register is not restored while a transaction holds a lock on it.',
  },
  laterNoSaysNothing: {
    argument: 'heard',
    text: 'A no for the epoch or the fence says nothing about an earlier vote that was not heard.',
  },
  fewYesesAbort: {
    argument: 'few',
    text: 'A forgotten transaction was aborted only if fewer than two servers can have said yes.',
  },
  aheadRefused: {
    argument: 'ahead',
    text: 'A server refuses what is far ahead of its own clock (0023).',
  },
  serversTime: {
    argument: 'servertime',
    text: 'A client takes the time from the median of the servers, not from its own clock (0023).',
  },
  boundedIds: {
    argument: 'bounded',
    text: 'A version from the future that was only seen is not followed (0023).',
  },
  justAboveTaken: {
    argument: 'close',
    text: 'A server takes an id just above what it holds, even from the future (0023).',
  },
  behindOutvoted: {
    argument: 'outvote',
    text: 'A server whose clock is behind takes a fence that the three others have taken (0023).',
  },
  loneFenceTakenBack: {
    argument: 'alone',
    text: 'A fence that a server alone has from the future is taken back (0023).',
  },
  readsConfirmed: {
    argument: 'lieread',
    text: 'A reader with three replies believes what two servers show (0027).',
  },
  registersConfirmed: {
    argument: 'lieinstall',
    text: 'A register is installed or restored from two servers that show it (0027).',
  },
  fillConfirmed: {
    argument: 'liefill',
    text: 'A fill copies what two donors show, and the floor that two have (0027).',
  },
  decisionsConfirmed: {
    argument: 'liedecide',
    text: 'A decision that one server alone tells of is not adopted (0027).',
  },
  bodiesConfirmed: {
    argument: 'liebody',
    text: 'A ballot commits the body that two servers show (0027).',
  },
  ownEpochs: {
    argument: 'lieepoch',
    text: 'Each server is sent the epoch that it has told itself (0027).',
  },
} as const satisfies Readonly<Record<string, Rule>>

export type RuleName = keyof typeof ruleTable
export type Rules = Readonly<Record<RuleName, boolean>>

export const ruleNames = Object.keys(ruleTable) as readonly RuleName[]

/** All rules, of which those whose argument is in `off` do not hold. */
export function rulesWithout(off: ReadonlySet<string>): Rules {
  const entries = ruleNames.map((name) => [name, !off.has(ruleTable[name].argument)])
  return Object.fromEntries(entries) as Record<RuleName, boolean>
}
