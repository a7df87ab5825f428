import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { commands } from '@backhaul/protocol';
import {
  AgentFixture,
  downloadMessage,
  prepareMessage,
  urlWindow,
} from '../../../test/harness/agent/agent-fixture.ts';
import { uuidv7 } from '../../../test/harness/agent/uuid.ts';

test('health_check reports what the owner allows and the load of the agent', async () => {
  await using fixture = await AgentFixture.start({
    config: { files: ['/data/report.bin'], maxRate: () => 5000 },
  });
  const session = await fixture.server.acceptAndWelcome();
  const command_id = uuidv7();
  session.send({ action: 'health_check', command_id });
  const result = await session.next('result');
  assert.equal(result.command_id, command_id);
  assert.ok(result.ok);
  const report = commands.health_check.result.parse(result.data);
  assert.deepEqual(report.allowed, [fixture.directory, '/data/report.bin']);
  assert.equal(report.active_uploads, 0);
  assert.equal(report.max_uploads, 2);
  assert.equal(report.max_rate_bytes_per_second, 5000);
  assert.ok(report.rss_bytes > 1e6);
});

test('renew_token is confirmed once the token is stored, and rejected if it is for another client', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-state-'));
  const token = (iat: number, sub: string) =>
    `e30.${Buffer.from(JSON.stringify({ sub, iat })).toString('base64url')}.c2lnbmF0dXJl`;
  await using fixture = await AgentFixture.start({
    config: { token: { kind: 'given', token: token(1, 'restaurant-1') }, stateDirectory: directory },
  });
  const session = await fixture.server.acceptAndWelcome();
  assert.ok(
    session.received.some(
      (hello) => hello.status === 'hello' && hello.capabilities.includes('token_renewal'),
    ),
  );
  const renewal_id = uuidv7();
  session.send({ action: 'renew_token', renewal_id: uuidv7(), token: token(2, 'restaurant-2') });
  assert.equal((await session.next('error')).code, 'protocol_error');
  session.send({ action: 'renew_token', renewal_id, token: token(2, 'restaurant-1') });
  assert.equal((await session.next('token_stored')).renewal_id, renewal_id);
  const stored = await readFile(join(directory, 'token.json'), 'utf8');
  assert.ok(stored.includes(token(2, 'restaurant-1')));
  session.socket.close(1012);
  const second = await fixture.server.acceptAndWelcome();
  const { authorization } = fixture.server.upgrades.at(-1)?.headers ?? {};
  assert.equal(authorization, `Bearer ${token(2, 'restaurant-1')}`);
  await second.settled();
  assert.ok(fixture.log.every((line) => !line.includes('c2lnbmF0dXJl')));
  await rm(directory, { recursive: true });
});

test('an agent without a state directory does not announce token renewal, and ignores renew_token', async () => {
  await using fixture = await AgentFixture.start();
  const session = await fixture.server.accept();
  assert.ok(!(await session.next('hello')).capabilities.includes('token_renewal'));
  session.welcome();
  session.send({ action: 'renew_token', renewal_id: uuidv7(), token: 'a.b.c' });
  await session.settled();
  assert.ok(session.received.every(({ status }) => status !== 'token_stored'));
});

test('list_directory returns the listing or an error code', async () => {
  await using fixture = await AgentFixture.start();
  await fixture.file('a', 3);
  const session = await fixture.server.acceptAndWelcome();
  session.send({ action: 'list_directory', command_id: uuidv7(), path: fixture.directory });
  const listed = await session.next('result');
  assert.ok(listed.ok);
  assert.deepEqual(
    commands.list_directory.result.parse(listed.data).entries.map(({ name }) => name),
    ['a'],
  );
  session.send({ action: 'list_directory', command_id: uuidv7(), path: '/etc' });
  const refused = await session.next('result');
  assert.ok(!refused.ok);
  assert.equal(refused.error, 'path_not_allowed');
});

test('an invalid message ends the upload or command that it is about', async () => {
  await using fixture = await AgentFixture.start({ config: { maxUploads: 1 } });
  const { path } = await fixture.file('a', 3);
  const session = await fixture.server.acceptAndWelcome();
  const sendRaw = (message: object) => session.socket.send(JSON.stringify(message));

  const invalid = prepareMessage(path);
  sendRaw({ ...invalid, plan: 'large' });
  const refused = await session.next('failed');
  assert.deepEqual(
    { upload_id: refused.upload_id, attempt: refused.attempt, error: refused.error },
    { upload_id: invalid.upload_id, attempt: 1, error: 'protocol_error' },
  );

  session.send(prepareMessage(path));
  const prepared = await session.next('prepared');
  const { upload_id, attempt } = prepared;
  sendRaw({ action: 'part_urls', upload_id, attempt: attempt - 1, presigned_urls: 'none' });
  await session.next('error');
  const download = downloadMessage(path, prepared, fixture.store);
  sendRaw({ ...download, upload_config: { ...download.upload_config, kind: 'of_the_future' } });
  const failed = await session.next('failed');
  assert.deepEqual({ id: failed.upload_id, error: failed.error }, { id: upload_id, error: 'protocol_error' });

  const command_id = uuidv7();
  sendRaw({ action: 'list_directory', command_id, path: 7 });
  const result = await session.next('result');
  assert.deepEqual([result.command_id, result.ok], [command_id, false]);

  session.send(prepareMessage(path));
  await session.next('prepared');
});

test('an error about an upload ends it and frees its slot', async () => {
  await using fixture = await AgentFixture.start({ config: { maxUploads: 1 } });
  const { path } = await fixture.file('a', 3);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const { upload_id, attempt } = await session.next('prepared');
  const error = {
    action: 'error',
    code: 'protocol_error',
    message: 'status "prepared": ?',
    upload_id,
  } as const;
  session.send({ ...error, attempt: attempt + 1 });
  await session.settled();
  session.send({ ...error, attempt });
  const failed = await session.next('failed');
  assert.deepEqual([failed.upload_id, failed.attempt, failed.error], [upload_id, attempt, 'protocol_error']);
  session.send(error);
  session.send({ action: 'error', code: 'protocol_error', message: 'unknown', command_id: uuidv7() });
  await session.settled();
  session.send(prepareMessage(path));
  await session.next('prepared');
});

test('excess commands fail with too_many_requests', async () => {
  await using fixture = await AgentFixture.start();
  const session = await fixture.server.acceptAndWelcome();
  for (let count = 0; count < 100; count += 1) {
    session.send({ action: 'list_directory', command_id: uuidv7(), path: fixture.directory });
  }
  const codes = new Set<string>();
  for (let count = 0; count < 100; count += 1) {
    const result = await session.next('result');
    codes.add(result.ok ? 'ok' : result.error);
  }
  assert.deepEqual([...codes].sort(), ['ok', 'too_many_requests']);
});

test('a message that does not match the upload is an error, and the upload continues', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('a', 3);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const prepared = await session.next('prepared');
  const { upload_id, attempt } = prepared;
  const [part] = prepared.parts;
  assert.ok(part);
  session.send({
    action: 'part_urls',
    upload_id,
    attempt,
    ...urlWindow(fixture.store, [{ ...part, part_number: 9 }]),
  });
  assert.equal((await session.next('error')).code, 'protocol_error');
  session.send({ ...downloadMessage(path, prepared, fixture.store), file_path: '/etc/passwd' });
  assert.equal((await session.next('error')).code, 'protocol_error');
  session.send(downloadMessage(path, prepared, fixture.store));
  await session.next('completed');
});

test('health_check works while listings fail with too_many_requests', async () => {
  await using fixture = await AgentFixture.start();
  const session = await fixture.server.acceptAndWelcome();
  const health = uuidv7();
  for (let count = 0; count < 100; count += 1) {
    session.send({ action: 'list_directory', command_id: uuidv7(), path: fixture.directory });
  }
  session.send({ action: 'health_check', command_id: health });
  const codes = new Map<string, string>();
  while (!codes.has(health)) {
    const result = await session.next('result');
    codes.set(result.command_id, result.ok ? 'ok' : result.error);
  }
  assert.equal(codes.get(health), 'ok');
  assert.ok([...codes.values()].includes('too_many_requests'));
});

test('disk_usage returns the totals, or an error code', async () => {
  await using fixture = await AgentFixture.start();
  await fixture.file('a', 3);
  const session = await fixture.server.acceptAndWelcome();
  session.send({ action: 'disk_usage', command_id: uuidv7(), path: fixture.directory });
  const walked = await session.next('result');
  assert.ok(walked.ok);
  const usage = commands.disk_usage.result.parse(walked.data);
  assert.deepEqual([usage.bytes, usage.files, usage.largest.length], [3, 1, 1]);
  session.send({ action: 'disk_usage', command_id: uuidv7(), path: '/etc' });
  const refused = await session.next('result');
  assert.ok(!refused.ok);
  assert.equal(refused.error, 'path_not_allowed');
});

test('a long disk_usage reports progress at most once a second, and cancel_command ends it without a result', async () => {
  await using fixture = await AgentFixture.start();
  for (let index = 0; index < 4000; index += 1) mkdirSync(join(fixture.directory, `d${index}`));
  const session = await fixture.server.acceptAndWelcome();
  const command_id = uuidv7();
  // Sent twice, it runs once.
  session.send({ action: 'disk_usage', command_id, path: fixture.directory });
  session.send({ action: 'disk_usage', command_id, path: fixture.directory });
  const since = performance.now();
  const progress = await session.next('command_progress');
  assert.ok(performance.now() - since > 900);
  assert.equal(progress.command_id, command_id);
  commands.disk_usage.progress.parse(progress.data);
  session.send({ action: 'cancel_command', command_id: uuidv7() });
  session.send({ action: 'cancel_command', command_id });
  const health = uuidv7();
  session.send({ action: 'health_check', command_id: health });
  assert.equal((await session.next('result')).command_id, health);
  // Without the cancellation there would be another report within this time.
  await delay(2000);
  const about = session.received.filter((one) => 'command_id' in one && one.command_id === command_id);
  assert.deepEqual(
    about.map(({ status }) => status),
    ['command_progress'],
  );
  assert.equal(fixture.log.filter((line) => line.includes('command cancelled by the server')).length, 1);
});
