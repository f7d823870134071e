// Mistakes that adapters have been shipped with, as edits of our source. Each must turn a test red: `npm run faults` shows it.

/** One mistake. */
export interface Fault {
  file: string
  from: string
  to: string
  /** Where it should be seen. */
  tests: string
}

export const FAULTS: Record<string, Fault> = {
  'handlers do not wait for the row to come back': {
    file: 'tanstack/collection.ts',
    from: 'const made = await client.mutate(',
    to: "if (config.writes !== 'ack') return void setTimeout(() => void client.mutate({ name: call.name, args: plain(call.args), effects }), 20)\n    const made = await client.mutate(",
    tests: 'tanstack',
  },
  'a file of rows is fetched from its beginning again': {
    file: 'store/image.ts',
    from: "...(at > 0 && { headers: { range: `bytes=${at}-` } })",
    to: '',
    tests: 'image',
  },
  'an image lies over newer rows': {
    file: 'store/image.ts',
    from: 'where rowid > ? and rowid <= ? on conflict (tbl, key) do nothing',
    to: 'where rowid > ? and rowid <= ? on conflict (tbl, key) do update set row = excluded.row',
    tests: 'image',
  },
  'a file of another epoch is taken': {
    file: 'store/image.ts',
    from: " && meta['epoch'] === epoch",
    to: '',
    tests: 'image',
  },
  'an image that cannot be had is asked for again': {
    file: 'engine/exchange.ts',
    from: 'takesImages && (complete',
    to: '(complete',
    tests: 'image',
  },
  'an image is asked for in the middle of a snapshot': {
    file: 'engine/exchange.ts',
    from: "takesImages && (complete || cursor === '') ? ",
    to: 'takesImages ? ',
    tests: 'image',
  },
  'files of rows stay when the rows are there': {
    file: 'store/image.ts',
    from: '    }\n    await files.clean([])\n    return true',
    to: '    return true',
    tests: 'image',
  },
  'rows that an image brought are not shown': {
    file: 'engine/replica.ts',
    from: 'intake?.imaged ? { reset: true } : batch',
    to: 'batch',
    tests: 'image',
  },
  'a client that is closed goes on with its pull': {
    file: 'engine/replica.ts',
    from: 'if (this.#closed) throw',
    to: 'if (false) throw',
    tests: 'image',
  },
  'no buffering during the initial load': {
    file: 'engine/screen.ts',
    from: 'this.whole.add(table)\n    deliver(rows)',
    to: 'this.whole.add(table)\n    setTimeout(() => deliver(rows), 20)',
    tests: 'tanstack',
  },
  'ignoring where': {
    file: 'tanstack/subset.ts',
    from: 'const subset: Subset = where ?',
    to: 'const subset: Subset = where && false ?',
    tests: 'tanstack',
  },
  'ignoring limit': { file: 'tanstack/subset.ts', from: 'if (limit === undefined ||', to: 'if (limit !== 0 ||', tests: 'tanstack' },
  'ignoring sort': { file: 'store/subset.ts', from: 'if (compared !== 0) return compared', to: 'if (compared !== 0) return 0', tests: 'tanstack' },
  'ignoring the offset': { file: 'tanstack/subset.ts', from: 'most: (offset ?? 0) + limit', to: 'most: limit', tests: 'tanstack' },
  'early markReady, eager': { file: 'tanstack/collection.ts', from: 'const whole = new Whole<T>(run)', to: 'const whole = new Whole<T>(run)\n      run.markReady()', tests: 'tanstack' },
  'early markReady, on demand': { file: 'tanstack/stage.ts', from: 'return this.#read([subset], [], isCurrent)', to: 'setTimeout(() => void this.#read([subset], [], isCurrent), 20)\n    return Promise.resolve()', tests: 'tanstack' },
  'rows of no query are kept': { file: 'tanstack/stage.ts', from: 'if (unwanted.length === 0) return', to: 'if (unwanted.length >= 0) return', tests: 'tanstack' },
  'a copy’s rows outlive ours': { file: 'tanstack/stage.ts', from: 'if (reset) run.truncate()', to: 'if (reset && this.#ready) run.truncate()', tests: 'persisted' },
  'an acknowledgement drops the overlay before the rows are there': { file: 'engine/op.ts', from: "return op.state !== 'rejected' && !(op.state === 'applied' && op.covered)", to: "return op.state === 'waiting'", tests: 'tanstack' },
  'rows of a stream count as they come': { file: 'engine/replica.ts', from: 'await this.store.commit({ stage, ', to: 'await this.store.commit({ put: stage, ', tests: 'stream' },
  'what a cut stream left is taken by the next': { file: 'engine/replica.ts', from: "...(first && { staged: 'forget' })", to: '...(first && false)', tests: 'stream' },
  'a line without its end is taken for one': { file: 'engine/lines.ts', from: 'if (done) return', to: "if (done) return void (yield pieces.join(''))", tests: 'stream' },
  'a stream that ends early is taken for whole': { file: 'engine/transport.ts', from: "throw new MalformedAnswer('the stream ended before its last line')", to: "return { changed: [], tombstoned: [], removed: [], removedBuckets: [], cursor: 'x', epoch: 'e', cursorReset: false, hasMore: false, lastMutationId: 0 }", tests: 'stream' },
  'streams are tried again and again': { file: 'engine/exchange.ts', from: 'let tries = streams.wanted && !streams.cut', to: 'let tries = streams.wanted', tests: 'stream' },
  'the last rows of a stream are forgotten': { file: 'engine/exchange.ts', from: 'await intake.flush()', to: '', tests: 'stream' },
  'a search in SQL sees a number where a text is': { file: 'store/where.ts', from: '(${other} or ${sql}', to: '(${other} and 0 or ${sql}', tests: 'find' },
  'what may belong in takes the place of what does': { file: 'store/subset.ts', from: 'this.#maybe.push(item)', to: 'this.add([], item)', tests: 'find' },
  'gone from the outbox is taken for applied': { file: 'confirm.ts', from: 'const told = op(id)', to: 'const told = op(id)\n      if (!told) return end()', tests: 'globals' },
  'a full localStorage keeps tabs from hearing': { file: 'holder.ts', from: "this.tell({ type: 'ops', ops:", to: "localStorage.setItem(this.name, '')\n      this.tell({ type: 'ops', ops:", tests: 'globals' },
  'an id needs a secure page': { file: 'platform.ts', from: 'const made = tried(() => crypto?.randomUUID())', to: 'const made = crypto!.randomUUID()', tests: 'globals' },
  'a failure is never the mutation’s': { file: 'engine/doubt.ts', from: 'parks = answered &&', to: 'parks = false &&', tests: 'hostile' },
  'a failure is always the mutation’s': { file: 'engine/doubt.ts', from: 'parks = answered && aside && proven &&', to: 'parks =', tests: 'hostile' },
  'a server’s wait is kept to the letter': { file: 'engine/pace.ts', from: 'if (askedMs === undefined || askedMs <= own) return own', to: 'if (askedMs === undefined) return own', tests: 'hostile' },
  'a number that is used is a refusal': { file: 'engine/answer.ts', from: " || result.code === 'number_used'", to: '', tests: 'hostile' },
  'pages without end are asked for': { file: 'engine/progress.ts', from: 'if (this.#thin > MAX_THIN_PAGES)', to: 'if (this.#thin > 1e9)', tests: 'hostile' },
  'blobs: a write goes before its upload': { file: 'engine/held.ts', from: 'this.gate.isUnsent(sha256))', to: 'this.gate.isUnsent(sha256) && false)', tests: 'blobs' },
  'blobs: a write passes one that waits for the same row': { file: 'engine/held.ts', from: 'this.#rows.has(rowOf(effect))', to: 'false', tests: 'blobs' },
  'blobs: a write passes one that it depends on': { file: 'engine/held.ts', from: 'dependsOn.some((id) => this.ids.has(id))', to: 'false', tests: 'blobs' },
  'blobs: a write that waits uses up a number': { file: 'engine/outbox.ts', from: 'nextNumber: device.nextNumber + (op.number > 0 ? 1 : 0)', to: 'nextNumber: device.nextNumber + 1', tests: 'blobs' },
  'blobs: a pull covers what has no number': { file: 'engine/page.ts', from: 'op.number > 0 && ', to: '', tests: 'blobs' },
  'blobs: a missing blob is the write’s own failure': { file: 'engine/push.ts', from: "if (error.code === 'blob_missing')", to: 'if (false)', tests: 'blobs' },
  'blobs: what is renumbered does not wait': { file: 'engine/rotate.ts', from: 'Holding.of(sent, gate).ids', to: 'new Set<string>()', tests: 'blobs' },
  'blobs: an upload is not remembered': { file: 'blob/uploader.ts', from: 'if (begun.key !== note.upload)', to: 'if (false)', tests: 'blobs' },
  'blobs: parts that are there are sent again': { file: 'blob/uploader.ts', from: 'begun.parts.filter(({ done }) => !done)', to: 'begun.parts', tests: 'blobs' },
  'blobs: an upload goes on without a network': { file: 'blob/uploader.ts', from: 'if (!this.#online || this.#running) return', to: 'if (this.#running) return', tests: 'blobs' },
  'blobs: other bytes are final at once': { file: 'blob/uploader.ts', from: 'const MAX_MISMATCHES = 2', to: 'const MAX_MISMATCHES = 1', tests: 'blobs' },
  'blobs: one that fails keeps the others waiting': { file: 'blob/uploader.ts', from: 'if (OUTAGES.includes(code)', to: 'this.#notBeforeMs = Infinity\n    if (OUTAGES.includes(code)', tests: 'blobs' },
  'blobs: a final failure parks nothing': { file: 'blob/keeper.ts', from: "if (state !== 'failed' || !failure) continue", to: 'if (state || !failure) continue', tests: 'blobs' },
  'blobs: bytes that came as others are kept': { file: 'blob/keeper.ts', from: 'if (got.size !== size || (await sha256Of(got)) !== sha256)', to: 'if (got.size !== size)', tests: 'blobs' },
  'blobs: what is sent is evicted before a pull shows it': { file: 'blob/keeper.ts', from: "filter(({ state, sha256 }) => state === 'cached' && !named.has(sha256))", to: "filter(({ state }) => state === 'cached' || state === 'sent')", tests: 'blobs' },
  'blobs: the first that came is evicted first': { file: 'blob/keeper.ts', from: 'sort((one, other) => one.usedAt - other.usedAt)\n  }', to: 'slice()\n  }', tests: 'blobs' },
  'blobs: a lost bucket leaves them': { file: 'engine/replica.ts', from: 'await this.watcher?.before(batch, this.copy.store)', to: '', tests: 'blobs' },
  'blobs: another user sees them': { file: 'blob/keeper.ts', from: 'note.user !== user)', to: 'false)', tests: 'blobs' },
  'blobs: a page runs what it shows': { file: 'blob/client.ts', from: "SHOWN.test(blob.mime) ? blob.mime : 'application/octet-stream'", to: 'blob.mime', tests: 'blobs' },
  'blobs: a file without a note counts': { file: 'blob/folder.ts', from: 'else if (!names.includes(name + NOTE)) await this.#drop(name)', to: '', tests: 'blobs' },
  'a tombstone’s spelling is not its row’s': { file: 'protocol/key.ts', from: "return parts ? joined(parts.map((part, at) => keyText(part, typeOf(table, columns[at]!)))) : id", to: 'return parts ? id : id', tests: 'keys' },
}
