// One private PostgreSQL cluster for the run; it goes when the run does, also by kill -9.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  export interface ProvidedContext {
    postgresPort: number
  }
}

// The shell's standard input is a pipe from here: when it closes, the cluster stops and its folder goes.
const SUPERVISE = `
set -e
umask 077
mkdir "$dir"
trap 'cd /; rm -rf "$dir"' EXIT
trap : INT TERM HUP
cd "$dir"
"$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log 2>&1 || { cat log; exit 1; }
"$bin/pg_ctl" -D data -l log -w -t 120 -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off -c shared_buffers=64MB" start >>log 2>&1 || { cat log; exit 1; }
echo READY
while read -r _; do :; done
"$bin/pg_ctl" -D data -m immediate stop >/dev/null 2>&1 || :
`

export default async function setup(project: TestProject): Promise<() => void> {
  const bin = programs()
  const port = await freePort()
  // Not a folder of ours: the user we drop to may not be let in there.
  const dir = `/tmp/nizhal-web-pg-${process.pid}-${port}`
  const drop = process.getuid?.() === 0 ? ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--clear-groups', '--'] : []
  const [program, ...args] = [...drop, 'sh', '-c', SUPERVISE]
  const child = spawn(program!, args, { cwd: '/', detached: true, env: { PATH: process.env['PATH'], dir, bin, port: String(port) }, stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    const said: string[] = []
    createInterface(child.stdout).on('line', (line) => (line === 'READY' ? resolve() : said.push(line)))
    child.once('exit', () => reject(new Error(`PostgreSQL did not start:\n${said.join('\n')}`)))
  })
  project.provide('postgresPort', port)
  return () => {
    child.stdin.end()
    // A cluster with many databases takes its time to stop and go; it does so without us.
    child.stdout.destroy()
    child.unref()
  }
}

function programs(): string {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : []
  const [found] = versions.map((version) => `${root}/${version}/bin`).filter((dir) => existsSync(`${dir}/initdb`))
  if (found) return found
  return execFileSync('sh', ['-c', 'dirname "$(command -v initdb)"']).toString().trim()
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const listener = createServer().listen(0, '127.0.0.1', () => {
      const { port } = listener.address() as { port: number }
      listener.close(() => resolve(port))
    })
  })
}
