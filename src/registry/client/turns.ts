/** Lets one act on a thing at a time: what was asked for first comes first, whether or not what is before it succeeds. */
export function createTurns(): <T>(key: string, act: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>()
  return async (key, act) => {
    const turn = (last.get(key) ?? Promise.resolve()).catch(() => {}).then(act)
    last.set(key, turn)
    try {
      return await turn
    } finally {
      if (last.get(key) === turn) last.delete(key)
    }
  }
}
