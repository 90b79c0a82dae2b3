/**
 * Runs `work` on all items, a bounded number at a time. After the first failure nothing new is started, `cancel` is
 * called, and what is running is awaited before the failure is thrown.
 */
export async function forEachBounded<T>(
  items: readonly T[],
  concurrency: number,
  work: (item: T) => Promise<void>,
  cancel: (reason: unknown) => void = () => {},
): Promise<void> {
  let next = 0
  let failure: { readonly reason: unknown } | undefined
  const worker = async (): Promise<void> => {
    while (failure === undefined && next < items.length) {
      const item = items[next++]!
      try {
        await work(item)
      } catch (reason) {
        if (failure === undefined) {
          failure = { reason }
          cancel(reason)
        }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(Math.max(1, concurrency), items.length) }, worker))
  if (failure !== undefined) throw failure.reason
}
