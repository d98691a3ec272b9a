/** Every operation of the client, for the prompt and for the command line alike. */
import type { Command } from './command.js'
import { doctor } from './doctor.js'
import { get } from './get.js'
import { heal } from './heal.js'
import { info } from './info.js'
import { init } from './init.js'
import { list } from './list.js'
import { mkdir } from './mkdir.js'
import { mv } from './mv.js'
import { passwd } from './passwd.js'
import { put } from './put.js'
import { rm } from './rm.js'
import { server } from './server.js'
import { status } from './status.js'
import { sync } from './sync.js'
import { top } from './top.js'
import { trash } from './trash.js'
import { trust } from './trust.js'
import { verify } from './verify.js'
import { versions } from './versions.js'
import { web } from './web.js'
import { whatIf } from './what-if.js'
import { why } from './why.js'

export const commands: readonly Command[] = [
  list,
  get,
  put,
  sync,
  mkdir,
  rm,
  mv,
  info,
  trash,
  versions,
  status,
  whatIf,
  why,
  heal,
  verify,
  web,
  top,
  trust,
  init,
  server,
  passwd,
  doctor,
]
