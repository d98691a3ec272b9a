/**
 * The host behind an address, for what is counted by host. Whoever has one address of IPv6 has all of its first 64
 * bits (RFC 4291, 2.5.4), so that these count as one host.
 */

/** Names the host of `remote`, an address with `:port` behind it. */
export function hostOf(remote: string): string {
  const [address = '', zone] = remote.slice(0, remote.lastIndexOf(':')).split('%')
  if (!address.includes(':')) return address
  const groups = groupsOf(address)
  const [a, b, c, d, e, f, high = 0, low = 0] = groups
  // Addresses of IPv4 in those of IPv6 (RFC 4291, 2.5.5.2).
  if ([a, b, c, d, e].every((group) => group === 0) && f === 0xffff) {
    return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.')
  }
  const network = [a, b, c, d].map((group = 0) => group.toString(16)).join(':')
  return `${network}::/64${zone === undefined ? '' : `%${zone}`}`
}

/** The eight groups of 16 bits of an address of IPv6. */
function groupsOf(address: string): readonly number[] {
  const [front = '', back] = address.split('::')
  const [first, last] = [front, back ?? ''].map(numbersOf) as [number[], number[]]
  if (back === undefined) return first
  return [
    ...first,
    ...new Array<number>(Math.max(0, 8 - first.length - last.length)).fill(0),
    ...last,
  ]
}

function numbersOf(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
    return [a * 256 + b, c * 256 + d]
  })
}
