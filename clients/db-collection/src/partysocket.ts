// Pings through partysocket, for apps that use it already.
import type { SubscribeSource } from './engine/source'

/** The shape of partysocket's `WebSocket` class. */
export interface PartySocketClass {
  new (url: () => Promise<string>, protocols?: string[], options?: object): {
    addEventListener(type: string, listener: (event: never) => void): void
    send(text: string): void
    close(code?: number): void
    readyState: number
  }
}

/** A source on partysocket's reconnecting WebSocket: `createPartySocketSource(WebSocket, { … })` with the class from `partysocket/ws`. */
export function createPartySocketSource(Socket: PartySocketClass, options: object = {}): SubscribeSource {
  return ({ url, onOpen, onMessage, onClose }) => {
    // Its own queue would send frames of a former connection to the next one.
    const socket = new Socket(url, [], { maxEnqueuedMessages: 0, ...options })
    socket.addEventListener('open', () => onOpen())
    socket.addEventListener('message', ({ data }: { data: unknown }) => typeof data === 'string' && onMessage(data))
    socket.addEventListener('close', ({ code }: { code: number }) => onClose(code))
    return {
      send: (text) => void (socket.readyState === 1 && socket.send(text)),
      close: () => socket.close(1000),
    }
  }
}
