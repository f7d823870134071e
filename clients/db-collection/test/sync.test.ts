// The engine against the real server, on both databases.
import { afterEach, describe, expect, test } from 'vitest'
import { addCustomer, device, drain, pay, remove, rename, shown } from './harness/device'
import { KINDS, Server } from './harness/server'

describe.each(KINDS)('on %s', (kind) => {
  let server: Server
  afterEach(() => server.stop())

  async function start(): Promise<Server> {
    server = await Server.start(kind)
    await server.shop('s1', ['ana', 'ben'])
    await server.shop('s2', ['cem'])
    return server
  }

  test('a write reaches the other device and leaves the outbox', async () => {
    await start()
    const [ana, ben] = [await device(server, 'ana', 's1'), await device(server, 'ben', 's1')]
    const write = await ana.mutate(addCustomer('c1', 'Sunil', 's1'))
    expect(await shown(ana, 'customers', ['id', 'name'])).toEqual([['c1', 'Sunil']])
    expect(ana.status.pending).toBe(1)
    await drain(ana)
    await ana.confirmed(write.id)
    expect(ana.writes).toEqual([])
    await ben.pull()
    expect(await shown(ben, 'customers', ['id', 'name', 'client_id'])).toEqual([['c1', 'Sunil', 'c1']])
    await ben.mutate(rename('c1', 'Sunil Perera'))
    await ben.mutate(pay('e1', 'c1', '5.50', 's1'))
    await drain(ben)
    await ana.pull()
    expect(await shown(ana, 'customers', ['name'])).toEqual([['Sunil Perera']])
    expect(await shown(ana, 'ledger_entries', ['amount'])).toEqual([['-5.50']])
    await ana.mutate(remove('c1'))
    await drain(ana)
    await ben.pull()
    expect(await shown(ben, 'customers', ['id'])).toEqual([])
    expect(await shown(ben, 'ledger_entries', ['id'])).toEqual([['e1']])
  })

  test('inv16: a rejected write is parked with its reason, its dependants cancelled, the rest goes on', async () => {
    await start()
    await server.customers('s1', 'known', 1)
    const ana = await device(server, 'ana', 's1')
    await ana.pull()
    await server.sql("delete from customers where id = 'known1'")
    const bad = await ana.mutate(pay('e1', 'known1', '5', 's1'))
    const on = await ana.mutate({ ...rename('e1', 'x'), dependsOn: [bad.id] })
    const fine = await ana.mutate(addCustomer('c2', 'Arul', 's1'))
    await drain(ana)
    await ana.confirmed(fine.id)
    await expect(ana.confirmed(bad.id)).rejects.toThrow('customer not found')
    expect(ana.writes.map(({ id, state, refusal }) => [id, state, refusal?.status])).toEqual([
      [bad.id, 'rejected', 'rejected'],
      [on.id, 'rejected', 'cancelled'],
    ])
    // Its optimistic row is gone, the other's is there.
    expect(await shown(ana, 'ledger_entries', ['id'])).toEqual([])
    expect(await shown(ana, 'customers', ['id'])).toEqual([['c2']])
    await server.customers('s1', 'known', 1)
    const again = await ana.retry(bad.id)
    await drain(ana)
    await ana.confirmed(again!.id)
    expect(await ana.discard(on.id)).toBe(true)
    expect(ana.writes).toEqual([])
    expect(await server.sql('select id from ledger_entries')).toEqual([['e1']])
  })

  test('inv07: a revoked shop is purged, also when the device was away', async () => {
    await start()
    await server.join('s2', 'ana')
    await server.customers('s1', 'a', 3)
    await server.customers('s2', 'b', 3)
    const ana = await device(server, 'ana', 's1')
    await ana.pull()
    expect((await shown(ana, 'customers', ['id'])).length).toBe(6)
    await server.leave('s2', 'ana')
    await ana.pull()
    expect(await shown(ana, 'customers', ['id'])).toEqual([['a1'], ['a2'], ['a3']])
    await server.join('s2', 'ana')
    await ana.pull()
    expect((await shown(ana, 'customers', ['id'])).length).toBe(6)
  })

  test('inv10: an epoch reset replays what waits and keeps it on the screen', async () => {
    await start()
    await server.customers('s1', 'a', 5)
    const ana = await device(server, 'ana', 's1', { pull: { pageSize: 2 } })
    await drain(ana)
    await server.down()
    await server.backUp()
    await server.up()
    // Enough is lost that the server's clock stays behind the device's, whichever of them speaks first.
    await server.customers('s1', 'z', 4)
    await ana.mutate(addCustomer('c1', 'One', 's1'))
    await drain(ana)
    await ana.mutate(addCustomer('c2', 'Two', 's1'))
    // Answered, and not yet in the rows: the restored server does not know of it.
    await ana.push()
    await ana.mutate(addCustomer('c3', 'Three', 's1'))
    await server.down()
    await server.restore()
    await server.up()
    const seen: string[][] = []
    ana.watch('customers', ({ changes, reset }) => seen.push([reset ? 'reset' : 'delta', ...changes.filter((it) => it.key.startsWith('c')).map((it) => `${it.key}${it.row ? '' : ' gone'}`)]))
    await drain(ana)
    expect(await shown(ana, 'customers', ['id'])).toEqual([['a1'], ['a2'], ['a3'], ['a4'], ['a5'], ['c2'], ['c3']])
    // The pending rows never left the screen, not even while everything was fetched anew.
    expect(seen.filter(([kind]) => kind === 'reset').every((it) => it.includes('c2') && it.includes('c3'))).toBe(true)
    expect(seen.flat().filter((it) => it === 'c2 gone' || it === 'c3 gone')).toEqual([])
    expect((await server.sql('select id from customers order by id')).flat()).toEqual(['a1', 'a2', 'a3', 'a4', 'a5', 'c2', 'c3'])
  })
})
