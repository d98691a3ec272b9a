/** Asks several servers for a repair: all of them have to answer, or the step is not done. */
import { DfsError } from '../../errors.js'
import type { Reply, Request, Verb } from '../../wire/messages.js'
import type { Cluster } from '../cluster/cluster.js'

/** The replies of all of `servers`, in their order. Throws what the first one that failed said. */
export async function askEach<V extends Verb>(
  cluster: Cluster,
  servers: readonly number[],
  verb: V,
  fieldsOf: (server: number) => Request<V>,
): Promise<Reply<V>[]> {
  const outcomes = await cluster.ask(servers, verb, fieldsOf)
  return outcomes.map(({ answer, error }) => {
    if (answer === undefined) throw error ?? new DfsError('down')
    return answer.reply
  })
}

/** The reply of one server. */
export async function askOne<V extends Verb>(
  cluster: Cluster,
  server: number,
  verb: V,
  fields: Request<V>,
): Promise<Reply<V>> {
  const { reply } = await cluster.request(server, verb, fields)
  return reply
}
