import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { expect, it } from 'vitest'
import { UdpSocket } from '../../../runtimes/node/udp-socket.ts'

it('goes on receiving after an error of the network, and drops what cannot be sent', async () => {
  const socket = await UdpSocket.bind('127.0.0.1:0')
  const peer = createSocket('udp4').bind(0, '127.0.0.1')
  await once(peer, 'listening')
  const { port } = peer.address()
  // Nobody listens there: the kernel reports it on our socket.
  const gone = createSocket('udp4').bind(0, '127.0.0.1')
  await once(gone, 'listening')
  const nowhere = gone.address().port
  gone.close()
  try {
    for (let i = 0; i < 20; i++)
      socket.send(Buffer.from('hello'), { address: '127.0.0.1', port: nowhere })
    socket.send(new Uint8Array(70_000), { address: '127.0.0.1', port }) // longer than any datagram
    const arrived = new Promise<string>((resolve) => {
      socket.ondatagram = (datagram) => resolve(Buffer.from(datagram).toString())
    })
    const again = setInterval(
      () => peer.send('still here', socket.localEndpoint.port, '127.0.0.1'),
      20,
    )
    expect(await arrived).toBe('still here')
    clearInterval(again)
  } finally {
    peer.close()
    await socket.close()
  }
})
