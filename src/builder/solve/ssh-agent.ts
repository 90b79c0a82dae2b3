import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecMount } from '../plan/step.ts'

/**
 * A socket for one step that leads to an agent, with the mode that the mount asks for. The agent itself serves only its own
 * user, and its socket is not ours to change; here it is this process that asks it.
 *
 * @param held what is to be closed after the step
 * @returns the path of the socket
 */
export async function openAgentSocket(agent: string, { mode }: ExecMount & { type: 'ssh' }, held: AsyncDisposableStack): Promise<string> {
  const directory = mkdtempSync(join(realpathSync(tmpdir()), 'stave-agent-'))
  held.defer(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'agent')
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ path: agent, allowHalfOpen: true })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one)
      // Who is left alone has nobody to talk to: the step sees a connection that ends.
      one.on('error', () => other.destroy())
      one.on('close', () => open.delete(one))
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  held.defer(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  chmodSync(path, mode)
  return path
}
