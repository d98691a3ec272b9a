/** Runs `dfc` for operations that a mount does not offer. */
import type { Cluster } from './cluster.js'
import { type Ended, run } from './programs.js'

const deadlineMs = 120_000

export function dfc(cluster: Cluster, ...args: readonly string[]): Promise<Ended> {
  const all = ['--config', cluster.clientConfig, ...args]
  return run(cluster.clientProgram, all, { deadlineMs, keepOutput: true })
}

/** Resolves when all four servers agree again. */
export async function heal(cluster: Cluster): Promise<void> {
  await dfc(cluster, 'heal')
}

export async function hasOperation(cluster: Cluster, name: string): Promise<boolean> {
  const { output } = await dfc(cluster, '--help')
  return new RegExp(`^\\s+${name}\\b`, 'm').test(output)
}
