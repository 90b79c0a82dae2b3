/**
 * What the history says of a RUN, after that word: `|1 A=x /bin/sh -c cmd`. Which ARGs were declared counts, used or not.
 *
 * @param args what is run, with its shell
 * @param runArgs `NAME=value` of the declared ARGs, as `Scope.runArgs` gives them
 */
export function createdByRun(args: readonly string[], runArgs: readonly string[]): string {
  const counted = runArgs.length === 0 ? [] : [`|${runArgs.length}`, ...runArgs]
  return [...counted, ...args].join(' ')
}
