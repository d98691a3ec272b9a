/** Requests of a repair to several servers: all of them must answer, or the step has failed. */
import { DfsError } from '../../errors.js'
import type { Reply, Request, Verb } from '../../wire/messages.js'
import type { Cluster } from '../cluster/cluster.js'

/** Returns the replies of all of `servers`, in their order. Throws the first failure. */
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

/** Returns the reply of one server. */
export async function askOne<V extends Verb>(
  cluster: Cluster,
  server: number,
  verb: V,
  fields: Request<V>,
): Promise<Reply<V>> {
  const { reply } = await cluster.request(server, verb, fields)
  return reply
}
