/** The table of all works, in the order in which they are done. */
import type { WorkEntry } from '../work.js'
import { copy } from './copy.js'
import { edits } from './edits.js'
import { folders } from './folders.js'
import { growth } from './growth.js'
import { huge } from './huge.js'
import { inside } from './inside.js'
import { listing } from './listing.js'
import { many } from './many.js'
import { memory } from './memory.js'
import { outage } from './outage.js'
import { parallel } from './parallel.js'
import { programs } from './programs.js'
import { reading } from './reading.js'
import { repair } from './repair.js'
import { small } from './small.js'
import { treeMemory } from './tree-memory.js'
import { trees } from './trees.js'
import { verify } from './verify.js'
import { writersAtOnce } from './writers.js'

export const works: Readonly<Record<string, WorkEntry>> = {
  copy: { make: copy },
  small: { make: small },
  inside: { make: inside },
  programs: { make: programs },
  listing: { make: listing },
  folders: { make: folders },
  edits: { make: edits },
  reading: { make: reading },
  writers: { make: writersAtOnce },
  trees: { make: trees },
  outage: { make: outage },
  memory: { make: memory },
  'tree-memory': { make: treeMemory },
  repair: { make: repair },
  verify: { make: verify },
  growth: { make: growth, extra: 'growth' },
  parallel: { make: parallel, extra: 'growth' },
  huge: { make: huge, extra: 'huge' },
  many: { make: many, extra: 'huge' },
}
