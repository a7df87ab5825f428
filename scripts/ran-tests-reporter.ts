import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

export interface RanTest {
  readonly name: string;
  /** Why it failed; absent if it passed. */
  readonly failure?: {
    /** `testCodeFailure` if the test itself says so; else a time-out, a hook, a parent. */
    readonly type: string;
    /** `AssertionError`, `TypeError`, … */
    readonly error: string;
    /** Its beginning, in one line. */
    readonly message: string;
  };
}

/** What ran, for scripts that start the test runner. */
export interface RanTests {
  /** Tests that did run, suites and skipped ones not among them. */
  readonly tests: readonly RanTest[];
  /** Files in which not a single test was found. */
  readonly filesWithoutTests: readonly string[];
}

/** A reporter for `node --test`, which counts a file without any test as one test that passed. */
// The runner takes a reporter's default export.
// oxlint-disable-next-line import/no-default-export
export default async function* ranTests(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const tests: RanTest[] = [];
  const filesWithoutTests: string[] = [];
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' || data.skip !== undefined) continue;
    if (data.nesting === 0 && resolve(data.name) === data.file) {
      if (type === 'test:pass') filesWithoutTests.push(data.name);
    } else {
      tests.push({
        name: data.name,
        ...(type === 'test:fail' ? { failure: explain(data.details.error) } : {}),
      });
    }
  }
  yield JSON.stringify({ tests, filesWithoutTests } satisfies RanTests);
}

function explain(failure: Error & { failureType?: string }): NonNullable<RanTest['failure']> {
  const cause = failure.cause instanceof Error ? failure.cause : failure;
  const message = cause.message.replaceAll(/\s+/g, ' ').slice(0, 150);
  return { type: failure.failureType ?? 'unknown', error: cause.name, message };
}
