import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CredentialSource } from './credential-source.ts';

const MINUTE = 60_000;

/** A provider whose refresh returns credentials with the given lifetime. */
function provider(clock: { now(): number }, lifeMs: number, refreshedLifeMs: number) {
  let expiration = new Date(clock.now() + lifeMs);
  let refreshes = 0;
  return {
    get refreshes() {
      return refreshes;
    },
    provide: async ({ forceRefresh = false }: { forceRefresh?: boolean } = {}) => {
      if (forceRefresh) {
        refreshes++;
        expiration = new Date(clock.now() + refreshedLifeMs);
      }
      return { accessKeyId: 'a', secretAccessKey: 's', sessionToken: 't', expiration };
    },
  };
}

test('credentials that would expire before the URL are refreshed first', async () => {
  const clock = { now: () => 1_000_000, elapsed: () => 1_000_000 };
  const { provide } = provider(clock, 5 * MINUTE, 60 * MINUTE);
  const credentials = await new CredentialSource(provide, clock).lasting(15 * MINUTE);
  assert.equal(credentials.expiresAt, clock.now() + 60 * MINUTE);
});

test('credentials that live long enough are not refreshed', async () => {
  const clock = { now: () => 1_000_000, elapsed: () => 1_000_000 };
  const source = provider(clock, 20 * MINUTE, 60 * MINUTE);
  await new CredentialSource(source.provide, clock).lasting(15 * MINUTE);
  assert.equal(source.refreshes, 0);
});

test('a provider without longer-lived credentials is not asked for every signing window', async () => {
  const clock = { now: () => 1_000_000, elapsed: () => 1_000_000 };
  const source = provider(clock, 5 * MINUTE, 5 * MINUTE);
  const credentials = new CredentialSource(source.provide, clock);
  for (let window = 0; window < 10; window++) {
    assert.equal((await credentials.lasting(15 * MINUTE)).expiresAt, clock.now() + 5 * MINUTE);
  }
  assert.equal(source.refreshes, 1);
});

test('expired credentials are never used to sign', async () => {
  const clock = { now: () => 1_000_000, elapsed: () => 1_000_000 };
  const { provide } = provider(clock, -1, -1);
  await assert.rejects(new CredentialSource(provide, clock).lasting(15 * MINUTE), {
    kind: 'unavailable',
    message: /AWS_SESSION_TOKEN/,
  });
});

test('credentials without expiry are used unchanged', async () => {
  let asked = 0;
  const source = new CredentialSource(
    async () => {
      asked++;
      return { accessKeyId: 'a', secretAccessKey: 's' };
    },
    { now: () => 0, elapsed: () => 0 },
  );
  assert.equal((await source.lasting(15 * MINUTE)).expiresAt, null);
  assert.equal(asked, 1);
});
