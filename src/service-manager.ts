/**
 * Tells the service manager that has started this process how it gets on: sd_notify(3), datagrams to the socket that
 * NOTIFY_SOCKET names. Node has no datagrams on sockets of unix(7).
 */
import { closeSync } from 'node:fs'
import { debugWire } from './log.js'

/** The messages of sd_notify(3) that are used here. */
export type ServiceState = 'READY=1' | 'STOPPING=1' | `STATUS=${string}`

const unixFamily = 1
const datagramSocket = 2
const closeOnExec = 0o2000000
/** The bytes of sun_path in struct sockaddr_un. */
const pathBytesMax = 108

/** Leaves the environment, because what this process starts is not the service. */
const socketPath = process.env.NOTIFY_SOCKET
delete process.env.NOTIFY_SOCKET

/** Sends the states, if a service manager wants them. Never throws: the service goes on all the same. */
export async function tellServiceManager(...states: readonly ServiceState[]): Promise<void> {
  if (!socketPath) return
  try {
    await send(socketPath, states.map((state) => state.replaceAll('\n', ' ')).join('\n'))
  } catch (error) {
    debugWire('service manager: %o', error)
  }
}

async function send(path: string, text: string): Promise<void> {
  const { default: koffi } = await import('koffi')
  const libc = koffi.load(null)
  const socket = libc.func('int socket(int, int, int)')
  const sendto = libc.func('long sendto(int, uint8_t *, size_t, int, uint8_t *, uint32_t)')
  const address = addressOf(path)
  const bytes = Buffer.from(text)
  const descriptor: number = socket(unixFamily, datagramSocket | closeOnExec, 0)
  if (descriptor === -1) throw new Error(`socket: ${koffi.errno()}`)
  try {
    const sent: number = sendto(descriptor, bytes, bytes.length, 0, address, address.length)
    if (sent !== bytes.length) throw new Error(`sendto ${path}: ${koffi.errno()}`)
  } finally {
    closeSync(descriptor)
  }
}

/** Encodes struct sockaddr_un of unix(7). A path that begins with @ is one of the abstract namespace. */
function addressOf(path: string): Buffer {
  const name = Buffer.from(path)
  if (name.length >= pathBytesMax) throw new Error(`${path} is too long for a socket`)
  const isAbstract = path.startsWith('@')
  if (isAbstract) name[0] = 0
  const family = Buffer.from(Uint16Array.of(unixFamily).buffer)
  return Buffer.concat([family, name, Buffer.alloc(isAbstract ? 0 : 1)])
}
