/**
 * The versions of the protocol that this program speaks, and the one that two peers use. A client says its range in
 * `hello`; the server answers with the highest version that both speak, which holds for the connection.
 */

export interface VersionRange {
  readonly least: number
  readonly most: number
}

/** `most` is raised when a message changes. `least` follows when no supported release needs the older one any more. */
export const protocolVersions: VersionRange = { least: 12, most: 12 }

/** The first version whose `hello` names a range. An older one names the one version that its program speaks. */
export const firstVersionOfRanges = 12

/** Returns the highest version in both ranges, or undefined when there is none. */
export function commonVersion(one: VersionRange, other: VersionRange): number | undefined {
  const version = Math.min(one.most, other.most)
  return version >= Math.max(one.least, other.least) ? version : undefined
}

export function isInRange({ least, most }: VersionRange, version: number): boolean {
  return least <= version && version <= most
}

/** For people: "version 12", "versions 12 to 14". */
export function versionsText({ least, most }: VersionRange): string {
  return least === most ? `version ${most}` : `versions ${least} to ${most}`
}
