import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LifecycleRule } from '@aws-sdk/client-s3';
import { findAbortRule, RULE_ID, shortestAbortDays, withAbortRule } from './bucket-configuration.ts';

const abort = { Status: 'Enabled', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 3 } } as const;

test('a rule counts if it is enabled and covers the whole prefix', () => {
  const covering: LifecycleRule[] = [
    { ...abort, Filter: {} },
    { ...abort, Filter: { Prefix: '' } },
    { ...abort, Filter: { Prefix: 'uploads' } },
    { ...abort, Filter: { Prefix: 'uploads/' } },
    { ...abort, Prefix: '' },
    { ...abort },
  ];
  for (const rule of covering) assert.equal(findAbortRule([rule], 'uploads'), rule);
});

test('a rule does not count if it is disabled, narrower, or has another action', () => {
  const others: LifecycleRule[] = [
    { ...abort, Status: 'Disabled' },
    { ...abort, Filter: { Prefix: 'uploads/till-1/' } },
    { ...abort, Prefix: 'logs/' },
    { ...abort, Filter: { Tag: { Key: 'a', Value: 'b' } } },
    { ...abort, Filter: { And: { Prefix: '', ObjectSizeGreaterThan: 1 } } },
    { Status: 'Enabled', Expiration: { Days: 1 } },
  ];
  for (const rule of others) assert.equal(findAbortRule([rule], 'uploads'), undefined);
  assert.equal(findAbortRule([{ ...abort, Prefix: 'uploads/' }], ''), undefined);
});

test('the shortest of several rules counts', () => {
  const days = (count: number): LifecycleRule => ({
    ...abort,
    AbortIncompleteMultipartUpload: { DaysAfterInitiation: count },
  });
  assert.equal(shortestAbortDays([days(7), days(1), { ...days(0), Status: 'Disabled' }], 'uploads'), 1);
  assert.equal(shortestAbortDays([], 'uploads'), undefined);
});

test('our rule is added once and replaces only itself', () => {
  const logs: LifecycleRule = {
    ID: 'logs',
    Status: 'Enabled',
    Filter: { Prefix: 'logs/' },
    Expiration: { Days: 1 },
  };
  const stale: LifecycleRule = { ...abort, ID: RULE_ID, Filter: { Prefix: 'old/' } };
  const rules = withAbortRule([logs, stale], 'uploads');
  assert.deepEqual(
    rules.map(({ ID }) => ID),
    ['logs', RULE_ID],
  );
  assert.equal(rules[0], logs);
  assert.ok(findAbortRule(rules, 'uploads'));
});
