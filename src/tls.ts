/**
 * TLS 1.3 between client and server (RFC 8446) without authorities: each server has a key that it has made itself, and
 * is known by the digest of that key. A login is bound to the connection that it is made over (RFC 9266).
 */
import { createHash, type X509Certificate } from 'node:crypto'
import { BlockList } from 'node:net'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import { limits } from './limits.js'

/** A private key and the certificate of its public key, both in PEM. */
export interface TlsKey {
  readonly privateKey: string
  readonly certificate: string
}

/** The only version that is spoken: there is nothing to be downgraded to. */
export const tlsVersion = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
} as const satisfies SecureContextOptions

/** The first byte of a TLS connection: a handshake record (RFC 8446, section 5.1). No frame of this protocol begins so. */
export const tlsFirstByte = 22

/** The label and size of the binding `tls-exporter` (RFC 9266, section 4). */
const binding = { label: 'EXPORTER-Channel-Binding', bytes: 32 } as const

/** Computes 32 bytes that only the two ends of this connection know. The handshake must be over. */
export function channelBinding(socket: TLSSocket): Buffer {
  return socket.exportKeyingMaterial(binding.bytes, binding.label, Buffer.alloc(0))
}

/**
 * Names the public key of a certificate: `sha256:` and the digest of its SubjectPublicKeyInfo in base64, as in RFC
 * 7469, section 2.4.
 */
export function keyNameOf(certificate: X509Certificate): string {
  const info = certificate.publicKey.export({ type: 'spki', format: 'der' })
  return `sha256:${createHash('sha256').update(info).digest('base64')}`
}

/** Whether a text has the form of `keyNameOf`. */
export function isKeyName(text: string): boolean {
  return /^sha256:[A-Za-z0-9+/]{43}=$/.test(text)
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/**
 * Whether what is sent to `host`, an IP address or a name, stays on this machine. Of names only `localhost` surely is
 * one of this machine (RFC 6761, section 6.3).
 */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true
  return loopback.check(host, host.includes(':') ? 'ipv6' : 'ipv4')
}

/** Hosts whose handshakes are counted, before those that are at rest are forgotten. */
const pacedHostsMax = 1024

/**
 * Spreads the TLS handshakes of each host over time. Each costs a server about a millisecond of work before anything
 * is known of the peer. It is the generic cell rate algorithm (ITU-T I.371).
 */
export class HandshakePace {
  /** When the next handshake of a host would be due if it made them evenly, in ms. */
  readonly #dueMs = new Map<string, number>()

  /** Books a handshake of `host`. Returns how long it has to wait, in ms; undefined when that would be too long. */
  waitMs(host: string, nowMs: number): number | undefined {
    const periodMs = 1000 / limits.tlsHandshakesPerSecond
    const restedMs = nowMs - limits.tlsHandshakesAtOnce * periodMs
    const dueMs = Math.max(this.#dueMs.get(host) ?? 0, restedMs)
    const waitMs = Math.max(0, dueMs + periodMs - nowMs)
    if (waitMs > limits.handshakeTimeoutMs / 2) return undefined
    this.#dueMs.set(host, dueMs + periodMs)
    if (this.#dueMs.size > pacedHostsMax) this.#forget(restedMs)
    return waitMs
  }

  #forget(restedMs: number): void {
    for (const [host, dueMs] of this.#dueMs) if (dueMs <= restedMs) this.#dueMs.delete(host)
  }
}
