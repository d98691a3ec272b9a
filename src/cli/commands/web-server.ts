/**
 * The listener behind the page of WEB: files of the package for anybody on this machine, and answers about the account
 * for who has the token. A browser may be made to ask by other pages, so the Host, the Origin and the token in a header
 * of its own are checked; the page itself may load nothing from elsewhere (Content-Security-Policy).
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { boundedHttpServer } from '../../bounded-http.js'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { isOwnHost } from '../../loopback.js'

/** Answers by their paths. They are given the parameters behind the path, and sent as JSON. */
export type WebAnswers = Readonly<Record<string, (asked: URLSearchParams) => Promise<object>>>

/** This file runs as <project>/dist/src/cli/commands/web-server.js. */
const folder = fileURLToPath(new URL('../../../../web/', import.meta.url))
const files: Readonly<Record<string, readonly [name: string, type: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/style.css': ['style.css', 'text/css; charset=utf-8'],
  '/script.js': ['script.js', 'text/javascript; charset=utf-8'],
}
const host = '127.0.0.1'
const tokenBytes = 24
const headers = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
}

export class WebServer {
  readonly #answers: WebAnswers
  readonly #token = randomBytes(tokenBytes).toString('base64url')
  readonly #server: Server

  private constructor(answers: WebAnswers) {
    this.#answers = answers
    const bounds = { connectionsMax: limits.webConnectionsMax, arrivalMs: limits.httpRequestMs }
    this.#server = boundedHttpServer(
      bounds,
      (request, response) => void this.#reply(request, response),
    )
  }

  /** Listens on this machine alone; port 0 takes any free one. Throws `io` when it cannot. */
  static async start(port: number, answers: WebAnswers): Promise<WebServer> {
    const web = new WebServer(answers)
    await new Promise<void>((resolve, reject) => {
      web.#server.once('error', (cause) => {
        reject(new DfsError('io', `cannot listen on ${host}:${port}: ${cause.message}`, { cause }))
      })
      web.#server.listen(port, host, resolve)
    })
    return web
  }

  /** The address of the page. What is behind # no browser sends to anybody: the page puts it into a header. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo
    return `http://${host}:${port}/#${this.#token}`
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  /** Never rejects. */
  async #reply(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (status: number, type: string, body: string | Buffer): void => {
      response.writeHead(status, { ...headers, 'content-type': type })
      response.end(request.method === 'HEAD' ? undefined : body)
    }
    const sendJson = (status: number, value: object): void =>
      send(status, 'application/json', JSON.stringify(value))
    try {
      if (!isFromHere(request)) return sendJson(403, { error: 'this is not its name' })
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        return sendJson(405, { error: 'nothing can be changed here' })
      }
      const { pathname, searchParams } = new URL(request.url ?? '/', `http://${host}`)
      const file = Object.hasOwn(files, pathname) ? files[pathname] : undefined
      if (file !== undefined) return send(200, file[1], readFileSync(`${folder}${file[0]}`))
      const answer = Object.hasOwn(this.#answers, pathname) ? this.#answers[pathname] : undefined
      if (answer === undefined) return sendJson(404, { error: 'there is no such page' })
      if (!this.#isAllowed(request)) {
        return sendJson(401, { error: 'open the address that "dfc web" has printed' })
      }
      sendJson(200, await answer(searchParams))
    } catch (thrown) {
      debugDfc('web: %o', thrown)
      const error = asDfsError(thrown)
      sendJson(error.code === 'notFound' ? 404 : 500, { error: error.message })
    }
  }

  #isAllowed({ headers: { authorization = '' } }: IncomingMessage): boolean {
    const [given, wanted] = [Buffer.from(authorization), Buffer.from(`Bearer ${this.#token}`)]
    return given.length === wanted.length && timingSafeEqual(given, wanted)
  }
}

/** Whether a request names this machine, and comes from no other page of a browser. */
function isFromHere({
  headers: { host: named, origin, 'sec-fetch-site': site },
}: IncomingMessage): boolean {
  if (!isOwnHost(named)) return false
  if (origin !== undefined && origin !== `http://${named}`) return false
  return site === undefined || site === 'same-origin' || site === 'none'
}
