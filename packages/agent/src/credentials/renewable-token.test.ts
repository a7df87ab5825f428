import assert from 'node:assert/strict';
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
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

/** A state directory on disk, and successive agents that use it. */
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

/** An agent has used `given` and stored the renewed token. */
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

test('a partial write of a killed agent is not read, and does not make the next file readable', async (t) => {
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

test('a newer token of the owner is used, also one of the same second', async (t) => {
  const { start } = await openState(t);
  await renew(start());
  assert.equal(await start(tokenOf(201)).next(), tokenOf(201));
  assert.equal(await start(tokenOf(200, 'till-1', 'given')).next(), tokenOf(200, 'till-1', 'given'));
  assert.equal(await start(tokenOf(199)).next(), RENEWED);
  assert.equal(await start(tokenOf(1, 'till-2')).next(), tokenOf(1, 'till-2'), 'of another client_id');
});

test('a broken state file does not prevent the start', async (t) => {
  const { directory, file, start, lines } = await openState(t);
  await mkdir(directory);
  for (const content of ['', '{', '[]', '{"token":1}', `{"token":"${GIVEN}"}`, GIVEN]) {
    await writeFile(file, content, { mode: 0o600 });
    assert.equal(await start().next(), GIVEN, content);
  }
  await rm(file);
  await mkdir(file);
  assert.equal(await start().next(), GIVEN, 'a directory');
  assert.equal(lines.filter((line) => line.includes('using the configured one')).length, 7);
  assert.ok(lines.every((line) => !line.includes('c2lnbmF0dXJl')));
});

test('a running agent keeps its renewed token if the file becomes unusable, unless it was removed', async (t) => {
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

test('an unusable directory is logged, and the agent reports that it cannot store tokens', async (t) => {
  const { directory, start, lines } = await openState(t);
  await writeFile(directory, 'a file');
  const token = start();
  assert.equal(await token.next(), GIVEN);
  assert.equal(token.canKeep, false);
  assert.ok(lines.some((line) => line.includes('the state directory is not usable')));
});

test('a token of another client, or one that is not newer, is not stored', async (t) => {
  const { file, start } = await openState(t);
  const token = start();
  await token.next();
  for (const other of [tokenOf(200, 'till-2'), tokenOf(100, 'till-1', 'x'), tokenOf(99), 'nonsense']) {
    await assert.rejects(token.store(other), { code: 'protocol_error' });
  }
  await assert.rejects(readFile(file), { code: 'ENOENT' });
});

test('a renewed token that cannot be written is not confirmed, and the current one stays in use', async (t) => {
  const { directory, file, start } = await openState(t);
  const token = start();
  await token.next();
  await mkdir(join(directory, `${STATE_FILE}.new`));
  await assert.rejects(token.store(RENEWED), (error: Error) => {
    assert.equal(error.message, 'The renewed token could not be stored (EISDIR).');
    return true;
  });
  await assert.rejects(readFile(file), { code: 'ENOENT' });
  assert.equal(await token.next(), GIVEN);
});

test('a file that is there under the temporary name is not written into, nor is what it points to', async (t) => {
  const { directory, file, start } = await openState(t);
  await mkdir(directory);
  const other = join(directory, '..', 'other');
  for (const place of [link, symlink]) {
    await writeFile(other, 'of another program');
    await place(other, `${file}.new`);
    const token = start();
    await token.next();
    await token.store(RENEWED);
    assert.equal(await readFile(other, 'utf8'), 'of another program');
    assert.equal(await start().next(), RENEWED);
    await rm(file);
    await rm(other);
  }
});

test('the owner’s token is not used again while the agent runs, also if the disk was full when it was replaced', async (t) => {
  const { file, start } = await openState(t);
  await renew(start());
  const token = start();
  assert.equal(await token.next(), RENEWED);
  await mkdir(`${file}.new`);
  await token.welcomed();
  assert.equal(await token.next(), RENEWED);
  assert.equal(token.refused(RENEWED), false);
  assert.equal(await token.next(), RENEWED);
});

test('a renewed token that is rejected before its first use is replaced by the owner’s while the agent runs', async (t) => {
  const { start } = await openState(t);
  const token = start();
  await renew(token);
  assert.equal(await token.next(), RENEWED);
  assert.equal(token.refused(RENEWED), true);
  assert.equal(await token.next(), GIVEN);
  await token.welcomed();
  assert.equal(await token.next(), GIVEN);
  assert.equal(token.refused(GIVEN), false, 'both were rejected');
  assert.equal(await token.next(), RENEWED, 'they are tried alternately');
});

test('the owner’s token is never used again after a renewed one was accepted, because the server would treat it as a copy', async (t) => {
  const { start } = await openState(t);
  await renew(start());
  const token = start();
  await token.next();
  await token.welcomed();
  assert.equal(token.refused(RENEWED), false);
  assert.equal(await token.next(), RENEWED);
  const restarted = start();
  await restarted.next();
  assert.equal(restarted.refused(RENEWED), false, 'its use is recorded on disk');
  assert.equal(await restarted.next(), RENEWED);
  const other = tokenOf(150);
  const changed = start(other);
  await changed.next();
  assert.equal(changed.refused(RENEWED), true, 'a different token of the owner may be valid');
  assert.equal(await changed.next(), other);
});

test('further renewals keep the record of the owner’s first token', async (t) => {
  const { start } = await openState(t);
  await renew(start());
  const token = start();
  await renew(token, AGAIN);
  assert.equal(await token.next(), AGAIN);
  assert.equal(token.refused(AGAIN), false);
});

test('a renewed token is sufficient without the owner’s file', async (t) => {
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
  assert.equal(await start().next(), RENEWED, 'its directory is closed to other users');
  await chmod(directory, 0o755);
  await chmod(join(directory, '..'), 0o755);
  await assert.rejects(
    start().next(),
    /^AccessibleToOthers: the state file .*token\.json is accessible to every user .*chmod 600/,
  );
});
