import { findContainer } from '#container/container.ts'
import { portsOf } from '#container/port.ts'
import { formatHost, portName } from '#network/port.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

export async function run({ args, settings, report }: Invocation): Promise<void> {
  await using session = await openSession(settings)
  const [name = '', wanted] = args
  for (const port of portsOf(findContainer(session.store, name), wanted))
    report.print(wanted === undefined ? `${portName(port)} -> ${formatHost(port)}` : formatHost(port))
}
