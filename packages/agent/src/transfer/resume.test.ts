import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFile, chmod, open, rename, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import test, { describe } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { ResumeState } from '@backhaul/protocol';
import {
  AgentFixture,
  downloadMessage,
  MiB,
  prepareMessage,
  signOnRequest,
} from '../../../../test/harness/agent/agent-fixture.ts';
import { crc32Base64 } from '../file/checksums.ts';
import { fingerprintOf } from '../file/fingerprint.ts';

const PART_BYTES = 5 * MiB;
/** Whole seconds, so that it can be restored exactly. */
const TIME = new Date(1_700_000_000_000);
const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

interface Interrupted {
  readonly fixture: AgentFixture;
  readonly path: string;
  readonly content: Buffer;
  readonly resume: ResumeState;
}

/** A file of slightly more than three parts, of which an earlier attempt has stored some. */
async function interrupted(fixture: AgentFixture, kept: readonly number[]): Promise<Interrupted> {
  const { path, content } = await fixture.file('large', 3 * PART_BYTES + 7);
  await utimes(path, TIME, TIME);
  const part = (number: number) => content.subarray((number - 1) * PART_BYTES, number * PART_BYTES);
  for (const number of kept) fixture.store.stored.set(number, part(number));
  return {
    fixture,
    path,
    content,
    resume: {
      size: content.length,
      fingerprint: fingerprintOf(await stat(path, { bigint: true })),
      kept_parts: kept.map((number) => ({ part_number: number, crc32: crc32Base64(crc32(part(number))) })),
    },
  };
}

type Options = Parameters<typeof prepareMessage>[1];

async function resumeUpload({ fixture, path, resume }: Interrupted, options: Options = {}) {
  const session = await fixture.server.acceptAndWelcome();
  signOnRequest(session, fixture.store);
  session.send(prepareMessage(path, { attempt: 2, resume, ...options }));
  const final = await session.next('completed', 'failed');
  return { session, final };
}

describe('a resumed upload', () => {
  test('sends only missing parts, and reports the SHA-256 of the whole file', async () => {
    await using fixture = await AgentFixture.start();
    const upload = await interrupted(fixture, [1, 3]);
    const { session, final } = await resumeUpload(upload);
    assert.ok(final.status === 'completed', JSON.stringify(final));
    assert.deepEqual(
      final.parts.map(({ part_number: number }) => number),
      [2, 4],
    );
    assert.equal(final.resumed, true);
    assert.equal(final.attempt, 2);
    assert.equal(final.sha256, sha256Of(upload.content));
    assert.deepEqual(
      fixture.store.puts.map(({ partNumber }) => partNumber).toSorted((a, b) => a - b),
      [2, 4],
    );
    assert.ok(fixture.store.object().equals(upload.content));
    const resumed = session.received.find(({ status }) => status === 'resumed');
    assert.ok(resumed?.status === 'resumed');
    assert.equal(resumed.size, upload.content.length);
    assert.deepEqual(resumed.fingerprint, upload.resume.fingerprint);
  });

  test('with all parts kept sends nothing, and completes after reading the whole file', async () => {
    await using fixture = await AgentFixture.start();
    const upload = await interrupted(fixture, [1, 2, 3, 4]);
    const { final } = await resumeUpload(upload);
    assert.ok(final.status === 'completed', JSON.stringify(final));
    assert.deepEqual(final.parts, []);
    assert.equal(final.sha256, sha256Of(upload.content));
    assert.equal(fixture.store.puts.length, 0);
  });

  test('reads kept parts also without SHA-256', async () => {
    await using fixture = await AgentFixture.start({ config: { sha256: false } });
    const upload = await interrupted(fixture, [1, 2, 3, 4]);
    await rewriteUnnoticed(upload.path, 2 * PART_BYTES);
    const { final } = await resumeUpload(upload);
    assert.ok(final.status === 'failed');
    assert.equal(final.error, 'file_changed');
    // The change must be detected before the second reading, which an old file does not need.
    assert.ok(!fixture.log.some((line) => line.includes('a second time')));
  });

  test('compares a kept part by its SHA-256 if it has one', async () => {
    await using fixture = await AgentFixture.start();
    const upload = await interrupted(fixture, [1]);
    const [part] = upload.resume.kept_parts;
    assert.ok(part !== undefined);
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('base64');
    part.sha256 = digest(Buffer.from('another part with the same CRC32'));
    const { final } = await resumeUpload(upload, { checksumMode: 'sha256' });
    assert.ok(final.status === 'failed');
    assert.equal(final.error, 'file_changed');
  });

  const changes: Record<string, (path: string) => Promise<void>> = {
    'was appended to': (path) => appendFile(path, 'more'),
    'was touched': (path) => utimes(path, TIME, new Date(TIME.getTime() + 1000)),
    'was truncated': (path) => truncate(path, 100),
    'was replaced by another of the same size and time': async (path) => {
      const { size } = await stat(path);
      await writeFile(`${path}.new`, Buffer.alloc(size, 1));
      await utimes(`${path}.new`, TIME, TIME);
      await rename(`${path}.new`, path);
    },
    'was rewritten with its old time': (path) => rewriteUnnoticed(path, 10),
  };
  for (const [how, change] of Object.entries(changes)) {
    test(`is file_changed if the file ${how}`, async () => {
      await using fixture = await AgentFixture.start();
      const upload = await interrupted(fixture, [1, 2]);
      await change(upload.path);
      const { final } = await resumeUpload(upload);
      assert.ok(final.status === 'failed', JSON.stringify(final));
      assert.equal(final.error, 'file_changed');
    });
  }

  test('accepts a chmod, and a different device number after a reboot', async () => {
    await using fixture = await AgentFixture.start();
    const upload = await interrupted(fixture, [1, 2]);
    await chmod(upload.path, 0o600);
    const fingerprint = { ...upload.resume.fingerprint, device: '424242' };
    const { final } = await resumeUpload({ ...upload, resume: { ...upload.resume, fingerprint } });
    assert.equal(final.status, 'completed', JSON.stringify(final));
    assert.ok(fixture.store.object().equals(upload.content));
  });

  for (const onChange of ['fail', 'restart', 'prefix'] as const) {
    test(`accepts a different inode number after a remount, with ${onChange}`, async () => {
      await using fixture = await AgentFixture.start();
      const upload = await interrupted(fixture, [1, 2]);
      await writeFile(`${upload.path}.new`, upload.content);
      await utimes(`${upload.path}.new`, TIME, TIME);
      await rename(`${upload.path}.new`, upload.path);
      const { inode } = fingerprintOf(await stat(upload.path, { bigint: true }));
      assert.notEqual(inode, upload.resume.fingerprint.inode);
      const { final } = await resumeUpload(upload, { onChange });
      assert.ok(final.status === 'completed', JSON.stringify(final));
      assert.equal(final.sha256, sha256Of(upload.content));
      assert.equal(fixture.store.puts.length, 2, 'the other two were kept');
    });
  }

  test('with prefix is file_changed if both inode and time differ, because the log was rotated', async () => {
    await using fixture = await AgentFixture.start();
    const upload = await interrupted(fixture, []);
    await writeFile(`${upload.path}.new`, Buffer.concat([upload.content, upload.content]));
    await rename(`${upload.path}.new`, upload.path);
    const { final } = await resumeUpload(upload, { onChange: 'prefix' });
    assert.ok(final.status === 'failed', JSON.stringify(final));
    assert.equal(final.error, 'file_changed');
  });

  test('is file_changed if the size to send is not the size of the file, whatever the fingerprint', async () => {
    for (const [onChange, size] of [
      ['prefix', 3 * PART_BYTES + 8],
      ['fail', 3 * PART_BYTES + 6],
      ['restart', 3 * PART_BYTES + 8],
    ] as const) {
      await using fixture = await AgentFixture.start();
      const upload = await interrupted(fixture, []);
      const { final } = await resumeUpload({ ...upload, resume: { ...upload.resume, size } }, { onChange });
      assert.ok(final.status === 'failed', onChange);
      assert.equal(final.error, 'file_changed');
      assert.equal(fixture.store.puts.length, 0);
    }
  });

  test('is file_too_large if the file exceeds the owner’s limit, however little of it is requested', async () => {
    await using fixture = await AgentFixture.start({ config: { maxFileSize: 1024 } });
    const upload = await interrupted(fixture, []);
    const fingerprint = { ...upload.resume.fingerprint, size: '0' };
    const resume = { size: 1000, fingerprint, kept_parts: [] };
    const { final } = await resumeUpload({ ...upload, resume }, { onChange: 'prefix' });
    assert.ok(final.status === 'failed');
    assert.equal(final.error, 'file_too_large');
    assert.equal(fixture.store.puts.length, 0);
  });

  test('with prefix uploads the initial content, although the file has grown', async () => {
    await using fixture = await AgentFixture.start();
    const upload = await interrupted(fixture, [1, 3]);
    await appendFile(upload.path, Buffer.alloc(2 * PART_BYTES, 9));
    const { final } = await resumeUpload(upload, { onChange: 'prefix' });
    assert.ok(final.status === 'completed', JSON.stringify(final));
    assert.equal(final.size, upload.content.length);
    assert.equal(final.sha256, sha256Of(upload.content));
    assert.ok(fixture.store.object().equals(upload.content));
  });

  test('that ended while disconnected sends `resumed` before its final message', async () => {
    await using fixture = await AgentFixture.start();
    const { path, resume } = await interrupted(fixture, [1, 2, 3, 4]);
    const first = await fixture.server.acceptAndWelcome();
    first.send(prepareMessage(path, { attempt: 2, resume }));
    first.socket.terminate();
    const second = await fixture.server.accept();
    const { running } = await second.next('hello');
    assert.equal(running.length, 1);
    while (!fixture.log.some((line) => line.includes('all parts sent'))) await nextTurn();
    second.welcome(running.map((upload) => ({ ...upload, verdict: 'continue' })));
    await second.next('completed');
    assert.deepEqual(
      second.received.map(({ status }) => status),
      ['hello', 'resumed', 'completed'],
    );
    assert.ok(
      !first.received.some(({ status }) => status === 'resumed'),
      '`resumed` was sent on the first connection',
    );
  });

  test('repeats on a new connection `resumed`, stored parts and requests for URLs', async () => {
    await using fixture = await AgentFixture.start();
    const upload = await interrupted(fixture, [1]);
    const release = Promise.withResolvers<void>();
    fixture.store.fault = async (put) => {
      if (put.partNumber === 4) await release.promise;
      return false;
    };
    const first = await fixture.server.acceptAndWelcome();
    signOnRequest(first, fixture.store);
    first.send(prepareMessage(upload.path, { attempt: 2, resume: upload.resume }));
    const stored: number[] = [];
    while (stored.length < 2) {
      const { parts } = await first.next('part_uploaded');
      stored.push(...parts.map(({ part_number: number }) => number));
    }
    first.socket.terminate();
    const second = await fixture.server.acceptAndWelcome();
    signOnRequest(second, fixture.store);
    const resumed = await second.next('resumed');
    assert.equal(resumed.attempt, 2);
    const again = await second.next('part_uploaded');
    assert.deepEqual(
      again.parts.map(({ part_number: number }) => number).toSorted((a, b) => a - b),
      stored.toSorted((a, b) => a - b),
    );
    release.resolve();
    const final = await second.next('completed');
    assert.equal(final.parts.length, 3);
    assert.ok(fixture.store.object().equals(upload.content));
  });
});

test('with prefix a file may grow during the upload, but its beginning must not change', async () => {
  for (const isKept of [true, false]) {
    await using fixture = await AgentFixture.start({ config: { parallelParts: 1 } });
    const { path, content } = await fixture.file('log', 2 * PART_BYTES);
    let changed = 0;
    fixture.store.fault = async (put) => {
      if (put.partNumber !== 2 || put.try > 1) return false;
      changed += 1;
      if (isKept) await appendFile(path, 'one line more\n');
      else await rewrite(path, 10);
      return false;
    };
    const session = await fixture.server.acceptAndWelcome();
    signOnRequest(session, fixture.store);
    session.send(prepareMessage(path, { onChange: 'prefix' }));
    const prepared = await session.next('prepared');
    session.send(downloadMessage(path, prepared, fixture.store));
    const final = await session.next('completed', 'failed');
    assert.equal(changed, 1);
    assert.equal(final.status, isKept ? 'completed' : 'failed', JSON.stringify(final));
    if (final.status === 'completed') assert.ok(fixture.store.object().equals(content));
    else assert.equal(final.error, 'file_changed');
  }
});

/** Changes one byte in place. */
async function rewrite(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte.writeUInt8(byte.readUInt8() ^ 0xff);
  await file.write(byte, 0, 1, offset);
}

/** The same, but restores the times: only the ctime changes. */
async function rewriteUnnoticed(path: string, offset: number): Promise<void> {
  await rewrite(path, offset);
  await utimes(path, TIME, TIME);
}
