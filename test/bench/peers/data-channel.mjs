/** node-datachannel: one ordered, reliable data channel a connection; offers and answers go over TCP in lines. */
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { PeerConnection } from 'node-datachannel'

/** What an SCTP message of every implementation may have. */
const MESSAGE_BYTES = 65_536
const BUFFERED_MAX = 1 << 20
const CONFIG = { iceServers: [], bindAddress: '127.0.0.1', maxMessageSize: 262_144 }

/** Otherwise they are collected while in use. */
const living = new Set()

function channelOf(peer, wire) {
  let wake
  const send = (data) => {
    for (let at = 0; at < data.length; at += MESSAGE_BYTES)
      wire.sendMessageBinary(Buffer.from(data.subarray(at, at + MESSAGE_BYTES)))
  }
  const channel = {
    ondata: () => {},
    write(data) {
      send(data)
      if (wire.bufferedAmount() <= BUFFERED_MAX) return undefined
      return new Promise((resolve) => {
        wake = resolve
      })
    },
    close() {
      living.delete(peer)
      peer.close()
    },
  }
  wire.setBufferedAmountLowThreshold(BUFFERED_MAX >> 1)
  wire.onBufferedAmountLow(() => wake?.())
  wire.onMessage((data) => channel.ondata(data))
  living.add(peer)
  return channel
}

function signal(peer, socket) {
  const tell = (message) => socket.write(`${JSON.stringify(message)}\n`)
  // With all its candidates: a description that goes ahead of them costs a second until the next check of ICE.
  peer.onGatheringStateChange((state) => {
    const description = state === 'complete' ? peer.localDescription() : null
    if (description !== null) tell(description)
  })
  socket.on('error', () => {})
  createInterface({ input: socket }).on('line', (line) => {
    const { sdp, type } = JSON.parse(line)
    peer.setRemoteDescription(sdp, type)
  })
}

export default {
  serve(_setup, onchannel) {
    const server = createServer((socket) => {
      const peer = new PeerConnection('server', CONFIG)
      socket.setNoDelay(true)
      peer.onDataChannel((wire) => onchannel(channelOf(peer, wire)))
      peer.onStateChange((state) => {
        if (state === 'closed' || state === 'disconnected') living.delete(peer)
      })
      signal(peer, socket)
    })
    return new Promise((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve(server.address().port)),
    )
  },
  async client({ ready }) {
    return {
      connect: () =>
        new Promise((resolve, reject) => {
          const socket = connect(ready, '127.0.0.1', () => {
            socket.setNoDelay(true)
            const peer = new PeerConnection('client', CONFIG)
            signal(peer, socket)
            const wire = peer.createDataChannel('bench')
            wire.onOpen(() => {
              socket.end()
              resolve(channelOf(peer, wire))
            })
            wire.onError(reject)
          }).once('error', reject)
        }),
    }
  },
}
