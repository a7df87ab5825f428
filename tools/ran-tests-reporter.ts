import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

export interface RanTest {
  readonly name: string;
  /** Absent if the test passed. */
  readonly failure?: {
    /** `testCodeFailure` if the test itself failed; otherwise a time-out, a hook, a parent. */
    readonly type: string;
    /** `AssertionError`, `TypeError`, … */
    readonly error: string;
    /** Beginning of the message, in one line. */
    readonly message: string;
  };
}

/** Tests that ran, for scripts that start the test runner. */
export interface RanTests {
  /** Tests that ran, without suites and skipped tests. */
  readonly tests: readonly RanTest[];
  /** Files without any test. */
  readonly filesWithoutTests: readonly string[];
}

/** A reporter for `node --test`. It is needed because the runner counts a file without tests as one passed test. */
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
