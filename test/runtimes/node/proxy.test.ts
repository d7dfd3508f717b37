/** Which proxy the environment names, and what it says when it refuses. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { connectThrough, proxyFor } from '../../../runtimes/node/proxy.ts'

const secure = { host: 'relay.example.org', port: 443, isSecure: true }
const plain = { ...secure, port: 80, isSecure: false }

describe('the environment', () => {
  it.each([
    [secure, {}, undefined],
    [secure, { HTTPS_PROXY: 'http://p:1' }, 'http://p:1/'],
    [secure, { https_proxy: 'http://p:1', HTTPS_PROXY: 'http://q:1' }, 'http://p:1/'],
    [secure, { https_proxy: '', HTTPS_PROXY: 'http://q:1' }, 'http://q:1/'],
    [secure, { HTTP_PROXY: 'http://p:1' }, undefined],
    [plain, { HTTP_PROXY: 'http://p:1' }, 'http://p:1/'],
    [plain, { HTTPS_PROXY: 'http://p:1' }, undefined],
    [secure, { ALL_PROXY: 'p:3128' }, 'http://p:3128/'],
    [secure, { HTTPS_PROXY: 'https://u:p@p:1' }, 'https://u:p@p:1/'],
  ])('%j %j', (target, env, url) => {
    expect(proxyFor(target, env)?.href).toBe(url)
  })

  it.each([
    ['*', true],
    ['example.org', true],
    ['.example.org', true],
    ['*.example.org', true],
    ['other.org, EXAMPLE.org', true],
    ['other.org example.org:443', true],
    ['example.org:80', false],
    ['ample.org', false],
    ['relay.example.org.evil.net', false],
    ['', false],
    [',', false],
  ])('NO_PROXY %j: %s', (list, isExempt) => {
    const env = { HTTPS_PROXY: 'http://p:1', NO_PROXY: list }
    expect(proxyFor(secure, env) === undefined).toBe(isExempt)
  })

  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['::1', '[::1]'],
    ['::1', '[::1]:443'],
  ])('NO_PROXY exempts %s by %s', (host, list) => {
    expect(proxyFor({ ...secure, host }, { HTTPS_PROXY: 'p:1', NO_PROXY: list })).toBeUndefined()
  })

  it.each(['socks5://p:1', 'http://', 'http://[', '://'])('refuses %j by its name', (text) => {
    let message = ''
    try {
      proxyFor(secure, { HTTPS_PROXY: text })
    } catch (error) {
      message = String(error)
    }
    expect(message).toContain('HTTPS_PROXY')
    expect(message).not.toContain('p:1')
  })
})

describe('the tunnel', () => {
  let server: Server | undefined
  const sockets: Socket[] = []
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy()
    server?.close()
  })

  async function proxy(onConnect: (client: Socket, target: string) => void): Promise<URL> {
    server = createServer((_request, response) => response.writeHead(200).end())
    server.on('connection', (socket: Socket) => sockets.push(socket))
    server.on('connect', ({ url = '' }, client: Socket) => onConnect(client, url))
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server!.once('listening', resolve))
    return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  }

  it('hands over what the target sent along with the answer', async () => {
    const url = await proxy((client, target) => client.write(`HTTP/1.1 200 OK\r\n\r\nto ${target}`))
    const socket = await connectThrough(url, { ...secure, host: '::1' }, 1000)
    const text = await new Promise((resolve) => socket.once('data', (data) => resolve(`${data}`)))
    expect(text).toBe('to [::1]:443')
    socket.destroy()
  })

  it.each([
    ['HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n', /wants other credentials \(407\)/],
    [
      'HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n',
      /refused to connect to relay.example.org:443 \(403\)/,
    ],
    ['SSH-2.0-x\r\n', /cannot be used/],
  ])('says what it was answered: %j', async (answer, text) => {
    const url = await proxy((client) => client.end(answer))
    await expect(connectThrough(url, secure, 1000)).rejects.toMatchObject({
      code: 'ERR_RELAY_UNAVAILABLE',
      message: expect.stringMatching(text),
    })
  })

  it('does not wait for ever, nor keep the password in what it says', async () => {
    const url = await proxy(() => {})
    url.username = 'user'
    url.password = 'secret'
    const failing = connectThrough(url, secure, 200)
    await expect(failing).rejects.toMatchObject({
      message: expect.stringMatching(/^the proxy 127\.0\.0\.1:\d+ did not answer within 0\.2 s$/),
    })
  })

  it('says that nobody is there', async () => {
    const url = await proxy(() => {})
    server!.close()
    await expect(connectThrough(url, secure, 1000)).rejects.toMatchObject({
      message: expect.stringContaining('ECONNREFUSED'),
    })
  })
})
