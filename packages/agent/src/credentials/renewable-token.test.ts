import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { FileGate } from '../file/file-gate.ts';
import { createLog } from '../log.ts';
import { currentPlatform } from '../platform/current-platform.ts';
import { RenewableToken, STATE_FILE } from './renewable-token.ts';

function tokenOf(iat: number, sub = 'till-1', mark = ''): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part({ sub, iat, exp: iat + 1000, mark })}.c2lnbmF0dXJl`;
}

const GIVEN = tokenOf(100);
const RENEWED = tokenOf(200);
const AGAIN = tokenOf(300);

/** A state directory, not on a file system in memory, and agents that are started on it one after another. */
async function openState(t: TestContext) {
  const parent = await mkdtemp('/var/tmp/backhaul-state-');
  t.after(() => rm(parent, { recursive: true }));
  const lines: string[] = [];
  const log = createLog({ level: 'debug', format: 'json', write: (line) => lines.push(line) });
  const gate = new FileGate({ platform: currentPlatform(), log });
  const directory = join(parent, 'state');
  const start = (given: string | (() => Promise<string>) = GIVEN): RenewableToken =>
    new RenewableToken({
      given: typeof given === 'string' ? () => Promise.resolve(given) : given,
      directory,
      gate,
      log,
    });
  return { directory, file: join(directory, STATE_FILE), start, lines };
}

/** An agent has used `given`, and has stored what the server renewed it with. */
async function renew(token: RenewableToken, renewed = RENEWED): Promise<void> {
  await token.next();
  await token.welcomed();
  await token.store(renewed);
}

test('a renewed token is used at the next connection and after a restart, and only its owner can read it', async (t) => {
  const { directory, file, start, lines } = await openState(t);
  const token = start();
  assert.equal(await token.next(), GIVEN);
  assert.equal(token.canKeep, true);
  await token.store(RENEWED);
  assert.equal(await token.next(), RENEWED);
  assert.equal(await start().next(), RENEWED);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await stat(directory)).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(directory), [STATE_FILE]);
  assert.ok(lines.every((line) => !line.includes('c2lnbmF0dXJl')));
});

test('what a killed agent left of a write is not read, and does not make the next one readable', async (t) => {
  const { directory, file, start } = await openState(t);
  await mkdir(directory);
  await writeFile(`${file}.new`, '{"token":"half', { mode: 0o644 });
  await chmod(`${file}.new`, 0o644);
  const token = start();
  assert.equal(await token.next(), GIVEN);
  await token.store(RENEWED);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal(await start().next(), RENEWED);
});

test('a token that the owner gives later is used, and one of the same second too', async (t) => {
  const { start } = await openState(t);
  await renew(start());
  assert.equal(await start(tokenOf(201)).next(), tokenOf(201));
  assert.equal(await start(tokenOf(200, 'till-1', 'given')).next(), tokenOf(200, 'till-1', 'given'));
  assert.equal(await start(tokenOf(199)).next(), RENEWED);
  assert.equal(await start(tokenOf(1, 'till-2')).next(), tokenOf(1, 'till-2'), 'of another client_id');
});

test('a broken state file is no reason not to start', async (t) => {
  const { directory, file, start, lines } = await openState(t);
  await mkdir(directory);
  for (const content of ['', '{', '[]', '{"token":1}', `{"token":"${GIVEN}"}`, GIVEN]) {
    await writeFile(file, content, { mode: 0o600 });
    assert.equal(await start().next(), GIVEN, content);
  }
  await rm(file);
  await mkdir(file);
  assert.equal(await start().next(), GIVEN, 'a directory');
  assert.equal(lines.filter((line) => line.includes('using the given one')).length, 7);
  assert.ok(lines.every((line) => !line.includes('c2lnbmF0dXJl')));
});

test('a running agent knows its renewed token whatever has become of the file, unless it was removed', async (t) => {
  const { file, start } = await openState(t);
  const token = start();
  await renew(token);
  await writeFile(file, 'broken');
  assert.equal(await token.next(), RENEWED);
  await rm(file);
  await mkdir(file);
  assert.equal(await token.next(), RENEWED);
  await rm(file, { recursive: true });
  assert.equal(await token.next(), GIVEN);
});

test('a directory that cannot be used is named, and the agent says that it keeps nothing', async (t) => {
  const { directory, start, lines } = await openState(t);
  await writeFile(directory, 'a file');
  const token = start();
  assert.equal(await token.next(), GIVEN);
  assert.equal(token.canKeep, false);
  assert.ok(lines.some((line) => line.includes('the state directory cannot be used')));
});

test('a token of another client, or one that is not later, is not stored', async (t) => {
  const { file, start } = await openState(t);
  const token = start();
  await token.next();
  for (const other of [tokenOf(200, 'till-2'), tokenOf(100, 'till-1', 'x'), tokenOf(99), 'nonsense']) {
    await assert.rejects(token.store(other), { code: 'protocol_error' });
  }
  await assert.rejects(readFile(file), { code: 'ENOENT' });
});

test('a renewed token that cannot be written is not said to be stored, and the present one stays', async (t) => {
  const { directory, file, start } = await openState(t);
  const token = start();
  await token.next();
  await mkdir(join(directory, `${STATE_FILE}.new`));
  await assert.rejects(token.store(RENEWED), (error: Error) => {
    assert.equal(error.message, 'The renewed token could not be kept (EISDIR).');
    return true;
  });
  await assert.rejects(readFile(file), { code: 'ENOENT' });
  assert.equal(await token.next(), GIVEN);
});

test('a renewed token that is refused before it ever worked gives way to the owner’s, for as long as the agent runs', async (t) => {
  const { start } = await openState(t);
  const token = start();
  await renew(token);
  assert.equal(await token.next(), RENEWED);
  assert.equal(token.refused(RENEWED), true);
  assert.equal(await token.next(), GIVEN);
  await token.welcomed();
  assert.equal(await token.next(), GIVEN);
  assert.equal(token.refused(GIVEN), false, 'both were');
  assert.equal(await token.next(), RENEWED, 'and are tried in turns');
});

test('the owner’s token is never shown again once a renewed one has worked: the server would take it for a copy', async (t) => {
  const { start } = await openState(t);
  await renew(start());
  const token = start();
  await token.next();
  await token.welcomed();
  assert.equal(token.refused(RENEWED), false);
  assert.equal(await token.next(), RENEWED);
  const restarted = start();
  await restarted.next();
  assert.equal(restarted.refused(RENEWED), false, 'that it worked is on disk');
  assert.equal(await restarted.next(), RENEWED);
  const other = tokenOf(150);
  const changed = start(other);
  await changed.next();
  assert.equal(changed.refused(RENEWED), true, 'another one of the owner may be good');
  assert.equal(await changed.next(), other);
});

test('a chain that goes on remembers the owner’s token that it began with', async (t) => {
  const { start } = await openState(t);
  await renew(start());
  const token = start();
  await renew(token, AGAIN);
  assert.equal(await token.next(), AGAIN);
  assert.equal(token.refused(AGAIN), false);
});

test('a renewed token is enough where the owner’s file is gone', async (t) => {
  const { start, lines } = await openState(t);
  await renew(start());
  const token = start(() => Promise.reject(new Error('--token-file x cannot be read (ENOENT)')));
  assert.equal(await token.next(), RENEWED);
  assert.ok(lines.some((line) => line.includes('--token-file x cannot be read')));
});

test('a state file that every user can read is refused like a token file', async (t) => {
  const { directory, file, start } = await openState(t);
  await renew(start());
  await chmod(file, 0o644);
  assert.equal(await start().next(), RENEWED, 'its directory keeps others out');
  await chmod(directory, 0o755);
  await chmod(join(directory, '..'), 0o755);
  await assert.rejects(
    start().next(),
    /^OpenToOthers: the state file .*token\.json is open to every user .*chmod 600/,
  );
});
