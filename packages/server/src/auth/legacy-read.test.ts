import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OperatorClaims, SCOPE_VERSION, type Scope, scopes } from '@backhaul/protocol';
import { FakeClock } from '../../../../test/doubles/fake-clock.ts';
import { FakeLog } from '../../../../test/doubles/fake-log.ts';
import { LEGACY_READ_MS, LegacyRead, legacyReadEnd } from './legacy-read.ts';

const HOUR_MS = 3_600_000;

function setUp({ on = true } = {}) {
  const clock = new FakeClock();
  const log = new FakeLog();
  const until = on ? clock.now() + LEGACY_READ_MS : null;
  return { clock, log, legacyRead: new LegacyRead({ until, clock, log }) };
}

function claims(scope: Scope[], fields: Partial<OperatorClaims> = {}): OperatorClaims {
  return { sub: 'prometheus', scope, iat: 0, exp: 1, ...fields };
}

function allowed(legacyRead: LegacyRead, token: OperatorClaims): Scope[] {
  return scopes.filter((scope) => legacyRead.allows(token, scope));
}

test('a scope of a token with a version permits only itself', () => {
  const { legacyRead, log } = setUp();
  for (const scope of scopes) {
    for (const version of [SCOPE_VERSION, SCOPE_VERSION + 1]) {
      assert.deepEqual(allowed(legacyRead, claims([scope], { scope_version: version })), [scope]);
    }
  }
  assert.deepEqual(log.entries, []);
  assert.deepEqual(legacyRead.findings(), []);
});

test('only the scope read of a token without a version includes content and metrics, for 31 days', () => {
  const { legacyRead, clock } = setUp();
  assert.deepEqual(allowed(legacyRead, claims(['read'])), ['read', 'content', 'metrics']);
  assert.deepEqual(allowed(legacyRead, claims(['read'], { scope_version: 1 })), [
    'read',
    'content',
    'metrics',
  ]);
  for (const scope of scopes.filter((other) => other !== 'read')) {
    assert.deepEqual(allowed(legacyRead, claims([scope])), [scope]);
  }
  clock.advance(LEGACY_READ_MS - 1);
  assert.ok(legacyRead.allows(claims(['read']), 'content'));
  clock.advance(1);
  assert.deepEqual(allowed(legacyRead, claims(['read'])), ['read']);
  assert.deepEqual(allowed(legacyRead, claims(['read', 'metrics'])), ['read', 'metrics']);
  assert.match(legacyRead.adviceFor(claims(['read']), 'content'), /"read" no longer includes "content"/);
  assert.equal(legacyRead.adviceFor(claims(['read']), 'admin'), '');
});

test('LEGACY_READ_SCOPE=off ends it immediately', () => {
  const { legacyRead, log } = setUp({ on: false });
  assert.deepEqual(allowed(legacyRead, claims(['read', 'trigger'])), ['read', 'trigger']);
  assert.deepEqual(log.entries, []);
});

test('its use is logged once per hour and subject, and is a finding of doctor', () => {
  const { legacyRead, clock, log } = setUp();
  legacyRead.allows(claims(['read']), 'read');
  assert.equal(log.entries.length, 0, 'reading records does not count');
  for (let times = 0; times < 3; times += 1) {
    legacyRead.allows(claims(['read']), 'metrics');
    legacyRead.allows(claims(['read'], { sub: 'ops' }), 'content');
  }
  assert.deepEqual(
    log.entries.map(({ level, data }) => [level, 'subject' in data && data.subject]),
    [
      ['warn', 'prometheus'],
      ['warn', 'ops'],
    ],
  );
  clock.advance(HOUR_MS);
  legacyRead.allows(claims(['read']), 'metrics');
  assert.equal(log.entries.length, 3);
  const [finding] = legacyRead.findings();
  assert.equal(finding?.level, 'warning');
  assert.match(finding?.detail ?? '', /ops, prometheus.*2025-12-02T/);
});

test('a clock that was behind at the first start does not end the older meaning of read early', () => {
  const released = Date.UTC(2026, 10, 30);
  assert.equal(legacyReadEnd(0), released + LEGACY_READ_MS);
  assert.equal(legacyReadEnd(released + HOUR_MS), released + HOUR_MS + LEGACY_READ_MS);
});
