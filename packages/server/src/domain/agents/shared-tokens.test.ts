import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';
import { FakeClock } from '../../../../../test/doubles/fake-clock.ts';
import { FakeLog } from '../../../../../test/doubles/fake-log.ts';
import { hostIdOf, SharedTokens } from './shared-tokens.ts';

const a = { machine: 'a'.repeat(32), boot: '1'.repeat(32) };
/** A clone with the machine id of the other. */
const clone = { machine: 'a'.repeat(32), boot: '2'.repeat(32) };
const other = { machine: 'b'.repeat(32), boot: '3'.repeat(32) };

function watch() {
  const clock = new FakeClock();
  const log = new FakeLog();
  let counted = 0;
  const shared = new SharedTokens({ clock, log, count: () => (counted += 1) });
  return { clock, log, shared, counted: () => counted };
}

test('two machines that alternate with one token are detected, counted, logged and shown by doctor', () => {
  const { shared, log, counted, clock } = watch();
  for (const host of [a, a, clone]) shared.connected('till-7', hostIdOf(host));
  assert.equal(shared.duplicatesOf('till-7'), 0, 'the machine may have been restarted');
  for (const host of [a, clone]) shared.connected('till-7', hostIdOf(host));
  assert.deepEqual([shared.duplicatesOf('till-7'), counted()], [2, 2]);
  assert.equal(
    log.entries[0]?.message,
    'two machines seem to share the token of one client; give each its own',
  );
  assert.equal(
    shared.findings()[0]?.detail,
    'Several machines seem to share one token: till-7.',
    'one may replace the other, or a snapshot was restored',
  );
  clock.advance(86_400_001);
  assert.equal(shared.duplicatesOf('till-7'), 0);
  assert.deepEqual(shared.findings(), []);
});

test('restarts of machine and agent, and agents that report no host, are not duplicates', () => {
  const { shared, counted } = watch();
  for (let boot = 0; boot < 20; boot += 1) {
    const host = { machine: 'a'.repeat(32), boot: String(boot).padStart(32, '0') };
    for (let agent = 0; agent < 3; agent += 1) shared.connected('till-7', hostIdOf(host));
    shared.connected('till-7', null);
  }
  assert.equal(counted(), 0);
});

test('an upload taken over by another machine restarts and says so; after a reboot it resumes', async () => {
  for (const { next, goesOn } of [
    { next: other, goesOn: false },
    { next: clone, goesOn: true },
  ]) {
    await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
    const { upload, agent } = await fixture.uploading({ host: a, sent: [1] });
    assert.equal(upload.hostId, hostIdOf(a));
    const successor = await fixture.connect('client-1', { host: next });
    const again = await fixture.reaches(upload.uploadId, 'preparing');
    assert.equal(again.s3UploadId === null, !goesOn);
    const [prepare] = successor.connection.sent('prepare_upload');
    assert.equal(prepare?.resume === undefined, !goesOn);
    assert.equal(again.restarts, goesOn ? 0 : 1);
    const reasons = fixture.changes.flatMap(({ transition }) =>
      'reason' in transition ? [transition.reason] : [],
    );
    assert.equal(reasons.includes(MOVED), !goesOn, reasons.join());
    assert.equal(reasons.includes('The agent was restarted.'), goesOn, 'a correct reason');
    assert.ok(agent.connection.closes.length > 0);
  }
});

test('a queued upload with parts of one machine restarts on another, also on a detected clone', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  const queued = await fixture.interrupted({ host: a, sent: [1] });
  await fixture.connect('client-1', { host: other, maxUploads: 1 });
  const again = await fixture.reaches(queued.uploadId, 'preparing');
  assert.deepEqual([again.s3UploadId, again.restarts, again.hostId], [null, 1, hostIdOf(other)]);
});

const MOVED =
  'The upload seems to have been started on another machine with the token of this client; it restarts from the beginning. Give each machine its own client_id and token.';
