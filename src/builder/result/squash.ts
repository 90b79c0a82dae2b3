import type { Context } from '#context.ts'
import type { LayerOutput, LayerResult } from '#runner/protocol.ts'
import type { Session } from '../session.ts'
import type { State } from '../solved.ts'
import { StaveError } from '#error.ts'
import { keepLayer, type MadeLayer } from '../solve/layer.ts'

/** All that a state has, the base image too, as one layer: what was deleted on the way is not in it. */
export async function squashAll(cx: Context, session: Session, state: State): Promise<MadeLayer> {
  const { store, output } = session
  const epoch = output.epoch === undefined ? {} : { epoch: output.epoch }
  return oneLayer(session, state, async (layer) => {
    const selection = { from: { kind: 'lowers' as const, lowers: await state.trees() }, sources: ['.'] }
    const { layer: result } = await store.runner.copy(cx, { base: [], items: [{ kind: 'select', selection }], to: '/', layer, ...epoch })
    if (result === undefined) throw new StaveError('runner', 'cannot squash the image: the runner made no layer')
    return result
  })
}

/** What a state has above its base image, as one layer: what it hides of the base stays hidden. Undefined: nothing. */
export async function squashNew(cx: Context, session: Session, state: State): Promise<MadeLayer | undefined> {
  const lowers = await rootState(state).trees()
  const trees = await state.trees()
  const [upper, ...under] = trees.slice(0, trees.length - lowers.length)
  if (upper === undefined) return undefined
  return oneLayer(session, state, (layer) => session.store.runner.diff(cx, { upper, under, lowers, layer }))
}

async function oneLayer(session: Session, state: State, make: (layer: LayerOutput) => Promise<LayerResult>): Promise<MadeLayer> {
  const { store, output } = session
  const blob = await store.blobs.temporary()
  try {
    const layer = await keepLayer(store, blob, await make({ ...output, blob }), output)
    // Not younger than the newest of what is in it: an unchanged build gives the same image again.
    return { ...layer, createdAt: await newest(state) }
  } catch (error) {
    await store.blobs.discard(blob)
    throw error
  }
}

function rootState(state: State): State {
  let current = state
  while (current.parent !== undefined) current = current.parent
  return current
}

async function newest(state: State): Promise<Date> {
  let time = new Date(0)
  for (let current: State | undefined = state; current !== undefined; current = current.parent) {
    const layer = await current.layer
    if (layer !== undefined && layer.createdAt > time) time = layer.createdAt
  }
  return time
}
