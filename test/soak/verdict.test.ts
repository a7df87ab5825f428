import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { UploadRecord } from '@backhaul/protocol';
import { sha256OfKeyStream } from '../harness/key-stream.ts';
import { temporaryDirectory } from '../harness/temporary-directory.ts';
import type { Pull } from './pull.ts';
import { SoakFile } from './soak-file.ts';
import { judge } from './verdict.ts';

const SIZE = 100_000;

/** Returns a record of a pull triggered a minute ago that ends now. */
function record(fields: Partial<UploadRecord>): UploadRecord {
  return { verification: 'full_object', completed_at: new Date().toISOString(), ...fields } as UploadRecord;
}

function pullOf(file: SoakFile, fields: Partial<Pull> = {}): Pull {
  return {
    ...{ uploadId: 'id', clientId: 'till', policy: 'fail', cancelAsked: false, retries: 0, removed: false },
    wanted: { kind: 'file', path: file.path, file },
    askedAt: Date.now() - 60_000,
    ...fields,
  };
}

async function verdict(pull: Pull, fields: Partial<UploadRecord>, isDenied = false): Promise<string> {
  return (await judge(pull, record(fields), { isDenied })) ?? 'right';
}

async function completedAs(pull: Pull, version: { sha256: string; sizeBytes: number }): Promise<string> {
  return await verdict(pull, { status: 'completed', sha256: version.sha256, size: version.sizeBytes });
}

describe('the verdict on an upload', () => {
  test('a version of the file that it had meanwhile is right, another is wrong', async () => {
    await using directory = await temporaryDirectory();
    const file = await SoakFile.create(directory.join('file'), 'file', SIZE);
    const [first] = file.versions;
    assert.ok(first !== undefined);
    assert.equal(await completedAs(pullOf(file), first), 'right');
    await file.rewrite();
    const second = file.versions.at(-1);
    assert.ok(second !== undefined);
    assert.notEqual(second.sha256, first.sha256);
    assert.equal(await completedAs(pullOf(file), first), 'right', 'it may have ended before');
    assert.equal(await completedAs(pullOf(file), second), 'right');
    const later = pullOf(file, { askedAt: Date.now() + 1000 });
    const end = { completed_at: new Date(Date.now() + 2000).toISOString() };
    const old = { status: 'completed', sha256: first.sha256, size: first.sizeBytes, ...end } as const;
    assert.match(await verdict(later, old), /of no version/);
    assert.match(await completedAs(pullOf(file), { ...first, sha256: 'other' }), /of no version/);
    assert.match(await verdict(pullOf(file), { status: 'completed', verification: 'parts' }), /parts only/);
  });

  test('a prefix within an append is right where prefixes were asked for', async () => {
    await using directory = await temporaryDirectory();
    const file = await SoakFile.create(directory.join('file'), 'file', SIZE);
    await file.append(SIZE);
    const sizeBytes = SIZE + 17;
    const within = { sha256: await sha256OfKeyStream('file 0', sizeBytes), sizeBytes };
    assert.equal(await completedAs(pullOf(file, { policy: 'prefix' }), within), 'right');
    assert.match(await completedAs(pullOf(file), within), /of no version/);
  });

  test('file_changed needs a change that matters', async () => {
    await using directory = await temporaryDirectory();
    const file = await SoakFile.create(directory.join('file'), 'file', SIZE);
    const changed = { status: 'failed', error: 'file_changed' } as const;
    assert.match(await verdict(pullOf(file), changed), /nothing that was done/);
    await file.chmod(0o600);
    assert.match(await verdict(pullOf(file), changed), /nothing that was done/);
    await file.append(1);
    assert.equal(await verdict(pullOf(file), changed), 'right');
    assert.match(await verdict(pullOf(file, { policy: 'prefix' }), changed), /nothing that was done/);
    await file.replace(SIZE);
    assert.equal(await verdict(pullOf(file, { policy: 'prefix' }), changed), 'right');
    assert.match(await verdict(pullOf(file, { askedAt: Date.now() + 1 }), changed), /nothing that was done/);
  });

  test('every other end needs its reason too', async () => {
    await using directory = await temporaryDirectory();
    const file = await SoakFile.create(directory.join('file'), 'file', SIZE);
    const pull = pullOf(file);
    assert.equal(await verdict(pull, { status: 'cancelled' }), 'nobody cancelled it');
    assert.equal(await verdict({ ...pull, cancelAsked: true }, { status: 'cancelled' }), 'right');
    assert.match(await verdict(pull, { status: 'expired' }), /nothing that was done/);
    const refused = { status: 'failed', error: 'storage_refused' } as const;
    assert.match(await verdict(pull, refused), /nothing that was done/);
    assert.equal(await verdict(pull, refused, true), 'right');
    const nothing = { ...pull, wanted: { kind: 'file_not_found', path: '/nothing' } } as const;
    assert.equal(await verdict(nothing, { status: 'failed', error: 'file_not_found' }), 'right');
    assert.match(await verdict(nothing, { status: 'failed', error: 'path_not_allowed' }), /nothing that was/);
    assert.match(await verdict(nothing, { status: 'completed' }), /should have been refused/);
    assert.match(await verdict(pull, { status: 'failed', error: 'file_not_found' }), /nothing that was done/);
  });
});

test('a file holds what is remembered of it, whatever is done to it', async () => {
  await using directory = await temporaryDirectory();
  const file = await SoakFile.create(directory.join('file'), 'file', SIZE);
  const acts = [
    () => file.append(1_100_000),
    () => file.truncate(0.5),
    () => file.append(33),
    () => file.rewrite(),
    () => file.replace(12_345),
    () => file.chmod(0o600),
  ];
  for (const act of acts) {
    await act();
    const { sha256, sizeBytes, until } = file.versions.at(-1) ?? assert.fail();
    const bytes = await readFile(file.path);
    assert.equal(bytes.length, sizeBytes);
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256);
    assert.equal(until, Infinity);
  }
  assert.deepEqual(
    file.changes.map(({ kind }) => kind),
    ['append', 'truncate', 'append', 'rewrite', 'replace', 'chmod'],
  );
  assert.equal(file.versions.length, 6, 'chmod makes none');
});
