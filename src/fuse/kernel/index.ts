/**
 * File systems in user space on Linux, without libfuse and without a native binding: the kernel's FUSE protocol in
 * TypeScript. `Mount.start` mounts a `FileSystem`, which answers by inode numbers; docs/fuse.md shows how. `attach`
 * and `Session` are its parts, for programs that read requests themselves.
 */
export type {
  Answer,
  Attributes,
  LentParts,
  Statfs,
  Time,
} from './answers.js'
export { type AttachOptions, attach, detach, type MountFlag } from './attach.js'
export { type ErrnoName, errnoOf, FuseError, MissingFeatureError, MountError } from './error.js'
export {
  type Awaitable,
  attributesWith,
  type Created,
  type FileSystem,
  type FolderEntry,
  type Opened,
  type OpenPlace,
  type PositionedEntry,
  timeOfMs,
  type WriteHow,
} from './file-system.js'
export { Mount, type MountOptions } from './mount.js'
export { canStreamDevices } from './node-internals.js'
export { type Feature, fileTypes, type OperationName, rootIno } from './protocol.js'
export { type Caller, Fields, type MonotonicClock, type Request } from './request.js'
export {
  noAnswer,
  type Operation,
  type Operations,
  type Result,
  Session,
  type SessionOptions,
} from './session.js'
export type { Changes } from './structures.js'
export type { Trace } from './trace.js'
