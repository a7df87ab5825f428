import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

/** What `scripts/test.ts` wants to know of a run. */
export interface RanTests {
  /** Tests that did run, suites and skipped ones not counted. */
  readonly ran: number;
  /** Files in which not a single test was found. */
  readonly filesWithoutTests: readonly string[];
}

/** A reporter for `node --test`, which counts a file without any test as one test that passed. */
// The runner takes a reporter's default export.
// oxlint-disable-next-line import/no-default-export
export default async function* ranTests(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let ran = 0;
  const filesWithoutTests: string[] = [];
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' || data.skip !== undefined) continue;
    if (data.nesting === 0 && resolve(data.name) === data.file) {
      if (type === 'test:pass') filesWithoutTests.push(data.name);
    } else {
      ran += 1;
    }
  }
  yield JSON.stringify({ ran, filesWithoutTests } satisfies RanTests);
}
