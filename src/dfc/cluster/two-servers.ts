/** Whether two addresses of a configuration lead to two servers, by what each says before the login. */
import { DfsError } from '../../errors.js'
import type { Greeting } from './connection.js'

interface Greeted extends Greeting {
  readonly name: string
}

/** Whether the two are one server under two addresses, or share what they know of the password. */
export function areLikeOne(one: Greeting, other: Greeting): boolean {
  return one.server === other.server || one.salt === other.salt
}

/** Describes what is wrong with two servers that are like one, to be told of the second. */
export function likeOne(first: Greeted, { name, server }: Greeted, user: string): DfsError {
  return new DfsError(
    'wrongServer',
    first.server === server
      ? `the addresses of ${first.name} and ${name} in the configuration lead to the same server`
      : `${name} and ${first.name} have the same salt for ${user}, so that one could log in to the other: "dfs-server user passwd ${user}" on ${name} gives it one of its own`,
  )
}
