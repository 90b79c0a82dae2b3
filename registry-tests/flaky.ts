import net from 'node:net'

/** Something between a client and a registry that breaks connections, whatever is spoken through it. */
export interface Flaky extends AsyncDisposable {
  readonly host: string
  /** Breaks the next connections that carry so many bytes, in that direction, once each. */
  breakAfter(direction: 'up' | 'down', bytes: number, times?: number): void
  /** How many were broken. */
  readonly broken: number
}

export async function flaky(target: string): Promise<Flaky> {
  const [hostname = '', port = ''] = target.split(/:(?=\d+$)/)
  const rules: { direction: 'up' | 'down'; bytes: number; left: number }[] = []
  const sockets = new Set<net.Socket>()
  let broken = 0

  const pass = (from: net.Socket, to: net.Socket, direction: 'up' | 'down') => {
    // Counted anew after each pause of the other side: a request or a response, on a connection that is kept.
    let passed = 0
    from.on('data', (chunk: Buffer) => {
      passed += chunk.length
      const rule = rules.find((candidate) => candidate.direction === direction && candidate.left > 0 && passed > candidate.bytes)
      if (rule !== undefined) {
        rule.left--
        broken++
        // What was passed on so far should arrive, then nothing more.
        to.write(chunk.subarray(0, Math.max(0, chunk.length - (passed - rule.bytes))), () => {
          from.destroy()
          to.destroy()
        })
        return
      }
      if (!to.write(chunk)) {
        from.pause()
        to.once('drain', () => from.resume())
      }
    })
    from.on('end', () => to.end())
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
  }

  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    }
    pass(client, upstream, 'up')
    pass(upstream, client, 'down')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    host: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    get broken() {
      return broken
    },
    breakAfter: (direction, bytes, times = 1) => void rules.push({ direction, bytes, left: times }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
