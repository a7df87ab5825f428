import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openSqliteStore } from '../store/open-sqlite-store.ts';
import { FakeClock } from '../../../../test/doubles/fake-clock.ts';
import { FakeLog } from '../../../../test/doubles/fake-log.ts';
import { intercepted } from '../../../../test/doubles/intercepted.ts';
import { type RecordedAudit, type Store, StoreError } from './ports/store.ts';
import { type RefusedRequest, RefusedRequests } from './refused-requests.ts';

const unauthorized: RefusedRequest = {
  actor: null,
  address: '192.0.2.7',
  network: '192.0.2.7',
  action: 'request',
  clientId: null,
  uploadId: null,
  refusal: { status: 401, error: 'unauthorized' },
  reason: 'token_expired',
  detail: { firstRequest: 'GET /uploads' },
};
const forbidden: RefusedRequest = {
  ...unauthorized,
  actor: 'anna',
  action: 'client.block',
  clientId: 'till-1',
  refusal: { status: 403, error: 'forbidden' },
  reason: null,
  detail: {},
};

class Fixture implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly refusals: RefusedRequests;
  readonly #store: Store;
  isAway = false;
  writes = 0;

  private constructor(real: Store) {
    const write = <Result>(call: () => Promise<Result>): Promise<Result> => {
      this.writes += 1;
      return this.isAway ? Promise.reject(new StoreError('locked')) : call();
    };
    this.#store = intercepted<Store>(real, {
      appendAudit: (event) => write(() => real.appendAudit(event)),
      setAuditCount: (id, count) => write(() => real.setAuditCount(id, count)),
    });
    this.refusals = new RefusedRequests({ store: this.#store, clock: this.clock, log: this.log });
  }

  static async open(): Promise<Fixture> {
    return new Fixture(await openSqliteStore(':memory:'));
  }

  record(request: RefusedRequest, times = 1): void {
    for (let count = 0; count < times; count += 1) this.refusals.record(request);
  }

  /** What is on record once all is written; oldest first. */
  async events(): Promise<RecordedAudit[]> {
    await this.refusals.flush();
    return (await this.#store.listAudit({ limit: 5000 })).toSorted((one, other) => one.id - other.id);
  }

  async counts(): Promise<number[]> {
    return (await this.events()).map(({ count }) => count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store.close();
  }
}

test('a refused request is recorded with actor, address, reason and parameters', async () => {
  await using fixture = await Fixture.open();
  fixture.record(unauthorized);
  fixture.record({ ...forbidden, detail: { reason: 'stolen' } });
  const [first, second, ...more] = await fixture.events();
  assert.deepEqual(more, []);
  const at = fixture.clock.now();
  const about = { action: 'request', clientId: null, uploadId: null, address: '192.0.2.7', count: 1, at };
  assert.deepEqual(first, {
    ...about,
    id: 1,
    actor: '',
    refusal: unauthorized.refusal,
    detail: { firstRequest: 'GET /uploads', reason: 'token_expired' },
  });
  assert.deepEqual(second, {
    ...about,
    id: 2,
    actor: 'anna',
    action: 'client.block',
    clientId: 'till-1',
    refusal: forbidden.refusal,
    detail: { reason: 'stolen' },
  });
});

test('the first of equal requests is written at once; the others of the minute are counted in its row', async () => {
  await using fixture = await Fixture.open();
  fixture.record(unauthorized, 100_000);
  fixture.clock.advance(59_999);
  fixture.record(unauthorized, 5);
  assert.deepEqual(await fixture.counts(), [100_005]);
  assert.ok(fixture.writes <= 3, `${fixture.writes} writes`);
  fixture.clock.advance(1);
  fixture.record(unauthorized, 2);
  assert.deepEqual(await fixture.counts(), [100_005, 2]);
});

test('the minute is measured by the monotonic clock', async () => {
  await using fixture = await Fixture.open();
  fixture.record(unauthorized);
  fixture.clock.jump(86_400_000);
  fixture.record(unauthorized);
  fixture.clock.jump(-2 * 86_400_000);
  fixture.record(unauthorized);
  assert.deepEqual(await fixture.counts(), [3]);
});

test('without a token, rows differ by address and reason, not by route', async () => {
  await using fixture = await Fixture.open();
  fixture.record(unauthorized);
  fixture.record({ ...unauthorized, address: '192.0.2.8', network: '192.0.2.8' });
  fixture.record({ ...unauthorized, reason: 'token_missing' });
  fixture.record({ ...unauthorized, detail: { firstRequest: 'GET /clients' } });
  fixture.record({ ...unauthorized, address: '2001:db8::1', network: '2001:db8:0:0' });
  fixture.record({ ...unauthorized, address: '2001:db8::2', network: '2001:db8:0:0' });
  assert.deepEqual(await fixture.counts(), [2, 1, 1, 2]);
});

test('with a token, requests that differ in any field get rows of their own', async () => {
  await using fixture = await Fixture.open();
  const others: Partial<RefusedRequest>[] = [
    {},
    { actor: 'ben' },
    { network: '192.0.2.8' },
    { action: 'client.unblock' },
    { clientId: 'till-2' },
    { uploadId: '019ab3c2-5f00-7000-8000-000000000001' },
    { refusal: { status: 409, error: 'client_busy' } },
    { detail: { reason: 'stolen' } },
  ];
  for (const other of others) fixture.record({ ...forbidden, ...other }, 2);
  assert.deepEqual(
    await fixture.counts(),
    others.map(() => 2),
  );
});

test('requests without a token get 30 rows a minute, and one for the rest', async () => {
  await using fixture = await Fixture.open();
  for (let host = 0; host < 5000; host += 1) {
    const address = `10.0.${Math.trunc(host / 250)}.${host % 250}`;
    fixture.record({ ...unauthorized, address, network: address });
  }
  const events = await fixture.events();
  assert.equal(events.length, 31);
  assert.equal(
    events.reduce((sum, { count }) => sum + count, 0),
    5000,
    'each is counted',
  );
  const rest = events.at(-1);
  assert.deepEqual([rest?.action, rest?.actor, rest?.address, rest?.count], ['request.more', '', null, 4970]);
  assert.equal(rest?.refusal?.error, 'unauthorized');
  fixture.clock.advance(60_000);
  fixture.record(unauthorized);
  assert.equal((await fixture.events()).length, 32, 'another minute, another budget');
});

test('requests without a token take no rows from operators, nor does one operator from another', async () => {
  await using fixture = await Fixture.open();
  for (let host = 0; host < 100; host += 1) {
    fixture.record({ ...unauthorized, network: `10.0.0.${host}` });
    fixture.record({ ...forbidden, clientId: `till-${host}` });
  }
  fixture.record({ ...forbidden, actor: 'ben' });
  const events = await fixture.events();
  const rowsOf = (name: string) => events.filter(({ actor }) => actor === name).length;
  assert.deepEqual([rowsOf(''), rowsOf('anna'), rowsOf('ben')], [31, 31, 1]);
});

test('all subjects together get 300 rows a minute; the rest is counted', async () => {
  await using fixture = await Fixture.open();
  for (let subject = 0; subject < 2000; subject += 1)
    fixture.record({ ...forbidden, actor: `anna-${subject}` });
  const counts = await fixture.counts();
  assert.equal(counts.length, 301);
  assert.equal(counts.at(-1), 1700);
});

test('rows that cannot be written are written later, with no further attempts until then', async () => {
  await using fixture = await Fixture.open();
  fixture.isAway = true;
  fixture.record(unauthorized, 10);
  await fixture.refusals.flush();
  const { writes } = fixture;
  for (let client = 0; client < 20; client += 1) fixture.record({ ...forbidden, clientId: `till-${client}` });
  fixture.clock.advance(60_000);
  fixture.record(unauthorized, 3);
  await nextTurn();
  assert.equal(fixture.writes, writes);
  assert.equal(fixture.log.entries.filter(({ level }) => level === 'warn').length, 1);
  fixture.isAway = false;
  const counts = await fixture.counts();
  assert.deepEqual(counts, [10, ...Array.from({ length: 20 }, () => 1), 3]);
});

test('a burst of requests is one attempt to write each row', async () => {
  await using fixture = await Fixture.open();
  fixture.isAway = true;
  for (let client = 0; client < 20; client += 1) {
    fixture.record({ ...forbidden, clientId: `till-${client}` });
  }
  await fixture.refusals.flush();
  assert.equal(fixture.writes, 20);
});

test('memory is bounded while the database is unavailable, and the log reports the missing requests', async () => {
  await using fixture = await Fixture.open();
  fixture.isAway = true;
  for (let minute = 0; minute < 20; minute += 1) {
    for (let client = 0; client < 100; client += 1) {
      for (const actor of ['anna', 'ben', 'cleo']) {
        fixture.record({ ...forbidden, actor, clientId: `till-${client}` });
      }
    }
    fixture.clock.advance(60_000);
  }
  await fixture.refusals.flush();
  fixture.isAway = false;
  const counts = await fixture.counts();
  assert.equal(counts.length, 1000);
  const written = counts.reduce((sum, count) => sum + count, 0);
  const lost = fixture.log.entries.find(
    ({ message }) => message.includes('not in the audit') && !message.includes('yet'),
  );
  assert.deepEqual(lost?.data, { requests: 6000 - written });
});
