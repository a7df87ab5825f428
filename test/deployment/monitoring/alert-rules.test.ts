import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readRules, readRuleTests, readRunbook } from './monitoring-files.ts';

describe('each alert', () => {
  test('has a section in docs/monitoring.md that says what to do, and leads there', async () => {
    const sections = await readRunbook();
    for (const { alert, annotations } of await readRules()) {
      const section = sections.get(alert);
      assert.ok(section !== undefined, `docs/monitoring.md has no section ${alert}`);
      assert.match(section, /^What to do: \S/m, alert);
      assert.equal(annotations.runbook_url, `docs/monitoring.md#${alert.toLowerCase()}`);
    }
  });

  test('that the document describes is there', async () => {
    const alerts = new Set((await readRules()).map(({ alert }) => alert));
    const described = [...(await readRunbook()).keys()].filter((heading) =>
      /^Backhaul[A-Z]\w+$/.test(heading),
    );
    assert.ok(described.length > 0);
    assert.deepEqual(
      described.filter((heading) => !alerts.has(heading)),
      [],
    );
  });

  test('is seen to fire and to be silent by promtool’s tests', async () => {
    const tests = await readRuleTests();
    const rules = await readRules();
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length, 'each has a name of its own');
    for (const { alert } of rules) {
      assert.ok((tests.get(alert)?.fires ?? 0) > 0, `no test lets ${alert} fire`);
      assert.ok((tests.get(alert)?.silent ?? 0) > 0, `no test sees ${alert} silent`);
    }
    assert.equal(tests.size, rules.length, 'no test is about an alert that is not there');
  });
});
