// One after the other: local steps never interleave. Nothing that waits for a network may be put in here.

/** Runs asynchronous steps in the order they came. */
export class Queue {
  #tail: Promise<unknown> = Promise.resolve()

  run<Result>(step: () => Promise<Result>): Promise<Result> {
    const result = this.#tail.then(step)
    this.#tail = result.catch(() => undefined)
    return result
  }
}
