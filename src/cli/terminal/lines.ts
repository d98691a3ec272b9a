/** Lines of a stream that is not a terminal, as text that stands for any bytes, so that every name can be in one. */
import { textOf } from '../../byte-text.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

const lineFeed = 0x0a

/** Yields the lines of a stream, the last one also without a line feed behind it. Throws `tooLarge` for a longer one. */
export async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let begun: Buffer[] = []
  let begunBytes = 0
  for await (const chunk of stream) {
    let from = 0
    for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, from)) {
      yield lineOf([...begun, chunk.subarray(from, end)])
      begun = []
      begunBytes = 0
      from = end + 1
    }
    begun.push(chunk.subarray(from))
    begunBytes += chunk.length - from
    if (begunBytes > limits.promptLineBytesMax) {
      throw new DfsError(
        'tooLarge',
        'a line of the input is longer than 1 MiB, and is no operation',
      )
    }
  }
  if (begunBytes > 0) yield lineOf(begun)
}

function lineOf(parts: readonly Buffer[]): string {
  return textOf(Buffer.concat(parts)).replace(/\r$/, '')
}
