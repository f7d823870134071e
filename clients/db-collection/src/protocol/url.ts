// Addresses on the server, put together as text: not every engine has a whole `URL`.

/** The address of a path, or of whatever the server named, seen from `server`. */
export function addressOf(server: string, path: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(path)) return path
  const [origin, scheme] = /^(https?:)\/\/[^/?#\s]+/i.exec(server) ?? []
  if (!origin) throw new TypeError(`the server's address is to begin with http:// or https://, and is ${JSON.stringify(server)}`)
  if (path.startsWith('//')) return scheme + path
  return `${origin}${path.startsWith('/') ? '' : '/'}${path}`
}

/** The address of a WebSocket on the server, with these parameters. */
export function socketAddressOf(server: string, path: string, params: readonly (readonly [string, string])[]): string {
  const query = params.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&')
  return `${addressOf(server, path).replace(/^http/i, 'ws')}?${query}`
}
