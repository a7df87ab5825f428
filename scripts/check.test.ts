import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CheckName, type CheckResult, type CheckStep, checkSteps, runCheck } from './check-steps.ts';
import { CheckoutCopy, violations } from './check-turns-red.ts';

/** One line for each finding, so that a finding and its file can be looked for together. */
const oneLine: Partial<Record<CheckName, readonly string[]>> = { lint: ['--format=unix'] };

async function runAll(root: string): Promise<Map<CheckName, CheckResult>> {
  const results = new Map<CheckName, CheckResult>();
  for (const step of checkSteps) {
    const command: CheckStep['command'] = [...step.command, ...(oneLine[step.name] ?? [])];
    results.set(step.name, await runCheck({ ...step, command }, root));
  }
  return results;
}

describe('npm run check', () => {
  let copy: CheckoutCopy;
  let clean: Map<CheckName, CheckResult>;
  let planted: Map<CheckName, CheckResult>;

  before(async () => {
    copy = await CheckoutCopy.of(join(import.meta.dirname, '..'));
    clean = await runAll(copy.root);
    for (const violation of violations) await copy.plant(violation);
    planted = await runAll(copy.root);
  });

  after(() => copy[Symbol.asyncDispose]());

  for (const { name } of checkSteps) {
    test(`${name} is green for the sources as they are, and red for planted violations`, () => {
      assert.ok(clean.get(name)?.passed, clean.get(name)?.output);
      assert.equal(planted.get(name)?.passed, false);
    });
  }

  for (const { step, path, text, finding } of violations) {
    const what = /from '(.+)'/.exec(text)?.[1] ?? finding;
    test(`${step} finds ${what} in ${path}`, () => {
      const lines = planted.get(step)?.output.split('\n') ?? [];
      assert.ok(
        lines.some((line) => line.includes(path) && line.includes(finding)),
        `not found:\n${lines.filter((line) => line.includes(path)).join('\n')}`,
      );
    });
  }
});
