import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { BackhaulError, type RefusalReason } from '@backhaul/protocol';
import { ClientBlocked } from '../domain/agents/client.ts';
import { FakeLog } from '../../../../test/doubles/fake-log.ts';
import { UpgradeRefusals } from './upgrade-refusals.ts';

function refusals() {
  const log = new FakeLog();
  const counted: RefusalReason[] = [];
  const refused = new UpgradeRefusals({ log, count: (reason) => counted.push(reason) });
  return { log, counted, refused };
}

function requestFrom(address: string, token?: string): { request: IncomingMessage; address: string } {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return { request: { headers } as unknown as IncomingMessage, address };
}

const expired = new BackhaulError('unauthorized', 'The token expired.', { reason: 'token_expired' });

function tokenOf(sub: unknown): string {
  return `e30.${Buffer.from(JSON.stringify({ sub })).toString('base64url')}.c2lnbmF0dXJl`;
}

test('a refusal is logged with its reason, the address and the client that the token claims, and counted', () => {
  const { log, counted, refused } = refusals();
  refused.refused(requestFrom('192.0.2.7', tokenOf('till-7')), expired, undefined);
  assert.deepEqual(counted, ['token_expired']);
  assert.deepEqual(log.entries, [
    {
      level: 'warn',
      data: {
        reason: 'token_expired',
        claimedClientId: 'till-7',
        address: '192.0.2.7',
        detail: 'The token expired.',
      },
      message: 'agent refused before the upgrade',
    },
  ]);
  refused.close();
});

test('a token’s claim is logged only if it could be a client id; a verified token’s client is not a claim', () => {
  for (const sub of ['x\u001B[2J', 'a'.repeat(65), 7, undefined]) {
    const { log, refused } = refusals();
    refused.refused(requestFrom('192.0.2.7', tokenOf(sub)), expired, undefined);
    assert.ok(!('claimedClientId' in (log.entries[0]?.data ?? {})), String(sub));
    refused.close();
  }
  const { log, refused } = refusals();
  const certificate = new BackhaulError('unauthorized', 'Another’s.', { reason: 'certificate' });
  refused.refused(requestFrom('192.0.2.7', tokenOf('till-8')), certificate, 'till-7');
  const [entry] = log.entries;
  assert.deepEqual(entry?.data, {
    reason: 'certificate',
    clientId: 'till-7',
    address: '192.0.2.7',
    detail: 'Another’s.',
  });
  refused.close();
});

test('the log has who blocked a client and why; the machine learns neither', () => {
  const { log, refused } = refusals();
  const block = { blockedAt: 0, blockedBy: 'anna', reason: 'stolen' };
  const refusal = refused.refused(requestFrom('192.0.2.7'), new ClientBlocked('till-7', block), 'till-7');
  assert.equal(refusal.message, 'Client till-7 was blocked by an operator on 1970-01-01T00:00:00.000Z.');
  assert.deepEqual(log.entries[0]?.data, {
    ...{ reason: 'blocked', clientId: 'till-7', address: '192.0.2.7', detail: refusal.message },
    ...{ blockedBy: 'anna', blockReason: 'stolen' },
  });
  refused.close();
});

test('one address gets a line a second, many get sixty-five, and every refusal is counted', () => {
  const { log, counted, refused } = refusals();
  for (let count = 0; count < 1000; count += 1) refused.refused(requestFrom('192.0.2.7'), expired, undefined);
  assert.equal(log.entries.length, 1);
  for (let count = 0; count < 1000; count += 1) {
    refused.refused(requestFrom(`198.51.${count >> 8}.${count & 255}`), expired, undefined);
  }
  assert.equal(log.entries.length, 65);
  assert.equal(counted.length, 2000);
  refused.close();
});

test('server faults get one line a second with the error, from any number of addresses, and the peer learns nothing', () => {
  const { log, counted, refused } = refusals();
  const fault = new TypeError('of a library');
  for (let count = 0; count < 100; count += 1) {
    const refusal = refused.refused(requestFrom(`198.51.100.${count}`), fault, undefined);
    assert.deepEqual([refusal.code, refusal.message.includes('library')], ['internal_error', false]);
  }
  const errors = log.entries.filter(({ level }) => level === 'error');
  assert.deepEqual(errors, [
    { level: 'error', data: { err: fault, address: '198.51.100.0' }, message: 'upgrade failed' },
  ]);
  assert.deepEqual([counted.length, new Set(counted).size, counted[0]], [100, 1, 'fault']);
  refused.close();
  const last = log.entries.findLast(({ level }) => level === 'error');
  assert.deepEqual(last?.data, { err: fault, address: '198.51.100.99', suppressed: 98 });
});

test('a server that shuts down counts refused agents and logs none', () => {
  const { log, counted, refused } = refusals();
  refused.refused(requestFrom('192.0.2.7'), new BackhaulError('shutting_down'), undefined);
  assert.deepEqual(counted, ['shutting_down']);
  assert.deepEqual(log.entries, []);
  refused.close();
});
