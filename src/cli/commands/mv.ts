/** MV: renames, or moves into a folder, replacing files of the same name. */
import { DfsError } from '../../errors.js'
import { placeOf, remoteKind } from '../paths/remote-path.js'
import { forEach } from '../session.js'
import { planTargets, splitOperands } from '../transfer/targets.js'
import type { Command } from './command.js'

export const mv: Command = {
  name: 'mv',
  operands: 'NAME... TARGET',
  operandsMin: 2,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'rename a file or folder, or move it into a folder',
  options: [],
  completes: ['remote'],

  async run(session, operands) {
    const { namespace } = session.client
    const { sources, target = '/' } = splitOperands(operands)
    const steps = planTargets(sources, target, await remoteKind(namespace, target))
    const targetOf = new Map(steps.map((step) => [step.source, step.target]))
    return forEach(session, sources, async (source) => {
      const from = await placeOf(namespace, source, 'keepLink')
      if (from.node === undefined) throw new DfsError('notFound')
      const to = await placeOf(namespace, targetOf.get(source) ?? target, 'keepLink')
      if (from.name === '' || to.name === '') {
        throw new DfsError('busy', 'the root folder cannot be moved or replaced')
      }
      await namespace.rename(from.parent, from.name, to.parent, to.name, 'replace')
    })
  },
}
