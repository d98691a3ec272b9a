/** The place that is a mount of our own servers. */
import { join } from 'node:path'
import { Cluster, type ClusterOptions } from './cluster.js'
import { dropKernelCaches, isRoot, type Place, warmPrograms } from './place.js'
import { time } from './programs.js'

export async function openOurMount(options: ClusterOptions): Promise<Place> {
  const cluster = await Cluster.start(options)
  const folder = join(cluster.mountpoint, 'bench')
  await time('mkdir', folder)
  return {
    folder,
    cluster,
    coldness: isRoot
      ? 'a fresh mount, then the kernel drops its caches (of the servers too)'
      : 'a fresh mount (run as root to have the servers cold as well)',
    async makeCold() {
      await cluster.unmount()
      if (isRoot) await dropKernelCaches(options.home)
      await cluster.mount()
      await warmPrograms()
    },
  }
}
