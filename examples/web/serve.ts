// Builds and serves a page; while it is served, the app's server runs beside it and signs a token for each phone.
import react from '@vitejs/plugin-react'
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Connect, type Plugin, type ProxyOptions } from 'vite'

/** The page of an app of the workspace. */
export interface Page {
  /** The app's crate, whose server is run. */
  app: string
  /** The page's folder, as `import.meta.url` of its configuration. */
  url: string
  /** More variables for the server. */
  env?: Record<string, string>
  /** More paths that the server answers. */
  proxy?: Record<string, Omit<ProxyOptions, 'target'>>
}

/** The configuration of a page's build. `APP_BINARY` names a server that is built already; without it, cargo builds it. */
export function pageOf(page: Page) {
  return defineConfig(async ({ command, isPreview }) => {
    const serves = command === 'serve' || isPreview
    const port = serves ? await freePort() : 0
    const target = `http://127.0.0.1:${port}`
    const more = Object.entries(page.proxy ?? {}).map(([path, options]) => [path, { ...options, target }])
    const proxy = { '/sync': { target, ws: true, changeOrigin: true }, '/nizhal': target, ...Object.fromEntries(more) }
    return {
      plugins: [react(), ...(serves ? [serverOf(page, port)] : [])],
      // One copy of each, though the client is linked from its own folder.
      resolve: { dedupe: ['@tanstack/db', '@journeyapps/wa-sqlite', 'react'] },
      optimizeDeps: { exclude: ['@journeyapps/wa-sqlite'] },
      worker: { format: 'es' },
      build: { target: 'es2022', chunkSizeWarningLimit: 1000 },
      server: { proxy },
      preview: { proxy },
    }
  })
}

/** Runs the server, and gives the page the tokens that it prints at its start. */
function serverOf({ app, url, env: more }: Page, port: number): Plugin {
  const here = fileURLToPath(new URL('.', url))
  const run = process.env['APP_BINARY'] ? [process.env['APP_BINARY']] : ['cargo', 'run', '-q', '-p', app]
  const env = { ...process.env, ...more, PORT: String(port), NIZHAL_RATE_LIMIT: 'off', DATABASE_URL: process.env['DATABASE_URL'] ?? `sqlite://${here}${app}.db` }
  let tokens: Promise<Record<string, string>> | undefined
  const start = () =>
    (tokens ??= new Promise((resolve, reject) => {
      const child = spawn(run[0]!, run.slice(1), { cwd: here, env, stdio: ['ignore', 'pipe', 'inherit'] })
      process.once('exit', () => child.kill())
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit())
      child.once('exit', (code) => reject(new Error(`the server of ${app} ended (${code})`)))
      let printed = ''
      child.stdout.on('data', (text) => {
        printed += text
        const found = Object.fromEntries([...printed.matchAll(/token of (\w+)'s phone:\s+(\S+)\s/g)].map(([, who, token]) => [who!.toLowerCase(), token!]))
        if (Object.keys(found).length === 2) resolve(found)
      })
    }))
  const middleware = (server: { middlewares: Connect.Server }) => {
    start().catch((error) => console.error(String(error)))
    server.middlewares.use('/tokens.json', (_, response) => {
      start().then(
        (found) => response.setHeader('content-type', 'application/json').end(JSON.stringify(found)),
        (error) => response.writeHead(503).end(String(error)),
      )
    })
  }
  return { name: 'server', configureServer: middleware, configurePreviewServer: middleware }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const listener = createServer().listen(0, '127.0.0.1', () => {
      const { port } = listener.address() as { port: number }
      listener.close(() => resolve(port))
    })
  })
}
