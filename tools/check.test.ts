import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CheckName, type CheckResult, type CheckStep, checkSteps, runCheck } from './check-steps.ts';
import { violations } from './check-turns-red.ts';
import { CheckoutCopy } from './checkout-copy.ts';

/** Formats with one line per problem, so that a message and its file can be searched together. */
const oneLine: Partial<Record<CheckName, readonly string[]>> = { lint: ['--format=unix'] };

describe('npm run check', () => {
  let copy: CheckoutCopy;
  const results = new Map<CheckName, CheckResult>();

  before(async () => {
    copy = await CheckoutCopy.of(join(import.meta.dirname, '..'));
    for (const violation of violations) await copy.plant(violation);
    for (const step of checkSteps) {
      const command: CheckStep['command'] = [...step.command, ...(oneLine[step.name] ?? [])];
      results.set(step.name, await runCheck({ ...step, command }, copy.root));
    }
  });

  after(() => copy[Symbol.asyncDispose]());

  for (const { step, path, text, message } of violations) {
    const what = /from '(.+)'/.exec(text)?.[1] ?? message;
    test(`${step} turns red for ${what} in ${path}`, () => {
      const { passed, output } = resultOf(step);
      assert.equal(passed, false);
      const lines = output.split('\n').filter((line) => line.includes(path));
      assert.ok(
        lines.some((line) => line.includes(message)),
        `not found:\n${lines.join('\n')}`,
      );
    });
  }

  for (const { name } of checkSteps) {
    test(`${name} reports only the planted violations`, () => {
      const planted = new Set(violations.map(({ path }) => path));
      const named =
        resultOf(name).output.match(
          /(?<!\.\.\/)(?:packages|test|bench|demo|tools|docs|examples)\/[\w./-]+\.\w+|\.env\.example/g,
        ) ?? [];
      assert.deepEqual(
        [...new Set(named)].filter((path) => !planted.has(path)),
        [],
      );
    });
  }

  function resultOf(name: CheckName): CheckResult {
    const result = results.get(name);
    assert.ok(result !== undefined);
    return result;
  }
});
