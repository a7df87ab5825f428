import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmod,
  chown,
  mkdtempDisposable,
  readdir,
  readFile,
  rename,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { uploadRecord } from '../../../../test/harness/upload-record.ts';
import type { NamingCalls } from './output-file.ts';
import { PartFile } from './part-file.ts';

const bytes = Buffer.from('new');
const record = uploadRecord({ size: bytes.length });
const scratchDirectory = () => mkdtempDisposable(path.join(tmpdir(), 'backhaul-client-'));

async function openPart(target: string, calls?: NamingCalls): Promise<PartFile> {
  return await PartFile.openFor(target, record, { resume: true, ...(calls !== undefined && { calls }) });
}

test('an existing file is not replaced, even if it was created in the meantime', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  {
    await using file = await openPart(target);
    await file.writeAt(bytes, 0);
    await writeFile(target, 'old');
    await assert.rejects(file.commit({ overwrite: false }), /already exists/);
  }
  assert.equal(await readFile(target, 'utf8'), 'old');
  assert.deepEqual(await readdir(directory.path), ['report.bin']);
});

async function only(directory: string): Promise<number> {
  const [part = '', ...others] = (await readdir(directory)).filter((name) => name.endsWith('.part'));
  assert.deepEqual(others, []);
  return (await stat(path.join(directory, part))).mode & 0o777;
}

test('a replaced file keeps its mode without execute permission', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  for (const [before, after] of [
    [0o755, 0o644],
    [0o664, 0o664],
    [0o600, 0o600],
    [0o711, 0o600],
  ] as const) {
    await writeFile(target, 'old');
    await chmod(target, before);
    await using file = await openPart(target);
    await file.writeAt(bytes, 0);
    assert.equal(await only(directory.path), 0o600, 'only its owner can read the part file');
    await file.commit({ overwrite: true });
    assert.equal((await stat(target)).mode & 0o777, after);
    assert.equal(await readFile(target, 'utf8'), 'new');
  }
});

test('a complete new file has the mode of the umask, with or without --overwrite', async () => {
  await using directory = await scratchDirectory();
  for (const overwrite of [true, false]) {
    const target = path.join(directory.path, `report-${overwrite}.bin`);
    await using file = await openPart(target);
    assert.equal(await only(directory.path), 0o600);
    await file.commit({ overwrite });
    assert.equal((await stat(target)).mode & 0o777, 0o666 & ~process.umask());
  }
});

test('without hard links, a failed rename leaves no empty file at the path', async () => {
  await using directory = await scratchDirectory();
  const failing = (code: string, errno: number) => (): Promise<void> =>
    Promise.reject(Object.assign(new Error(code), { code, errno }));
  {
    const target = path.join(directory.path, 'report.bin');
    await using file = await openPart(target, {
      link: failing('EPERM', -1),
      rename: failing('EIO', -5),
    });
    await file.writeAt(bytes, 0);
    await assert.rejects(file.commit({ overwrite: false }), { errno: 'EIO' });
  }
  assert.deepEqual(await readdir(directory.path), []);
});

/** Copies the part file to the name that a killed process would have left. */
async function leaveBehind(directory: string): Promise<string> {
  const part = (await readdir(directory)).find((name) => name.endsWith('.part')) ?? '';
  const left = part.replace(/-\d+-([0-9a-f]{6})\.part$/, '-4194999-$1.part');
  await writeFile(path.join(directory, left), await readFile(path.join(directory, part)));
  return left;
}

const large = uploadRecord({ size: 20 * 1024 * 1024, etag: '"one"' });
const MIB = 1024 * 1024;

async function writeMebibytes(part: PartFile, starts: readonly number[]): Promise<void> {
  for (const start of starts) await part.writeAt(Buffer.alloc(MIB, 'x'), start * MIB);
}

test('the part file of a killed download is resumed only by a download of the same object to the same path', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  const killed = await PartFile.openFor(target, large, { resume: true });
  await writeMebibytes(killed, [0, 1, 2, 8, 16, 17, 18, 19]);
  const left = await leaveBehind(directory.path);
  killed.discard();
  await killed[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(directory.path), [left]);
  const others = [
    [target, { ...large, etag: '"two"' }],
    [target, { ...large, version_id: 'v2' }],
    [target, { ...large, upload_id: large.upload_id.replace(/.$/, 'f') }],
    [path.join(directory.path, 'other.bin'), large],
  ] as const;
  for (const [file, other] of others) {
    await using part = await PartFile.openFor(file, other, { resume: true });
    assert.equal(part.resumedBytes, 0);
  }
  await using part = await PartFile.openFor(target, large, { resume: true });
  assert.equal(part.resumedBytes, 8 * MIB);
  assert.deepEqual(
    [...part.missing()].map(({ start, end }) => [start / MIB, end / MIB]),
    [
      [3, 8],
      [9, 16],
    ],
  );
  await using second = await PartFile.openFor(target, large, { resume: true });
  assert.equal(second.resumedBytes, 0, 'only one of two takes it');
  await part.commit({ overwrite: false });
  assert.equal((await stat(target)).size, large.size, 'without the notes after the content');
});

test('a part file written by another process or on another machine is left alone for an hour', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  const killed = await PartFile.openFor(target, large, { resume: true });
  await writeMebibytes(killed, [0]);
  const left = await leaveBehind(directory.path);
  killed.discard();
  await killed[Symbol.asyncDispose]();
  const content = await readFile(path.join(directory.path, left));
  for (const name of [
    left.replace('-4194999-', `-${process.ppid}-`),
    // Written by this process, with another copy of this module or in another thread.
    left.replace('-4194999-', `-${process.pid}-`),
    left.replace(/-[0-9a-f]{8}-4194999-/, '-00000000-4194999-'),
  ]) {
    await writeFile(path.join(directory.path, name), content);
  }
  {
    await using first = await PartFile.openFor(target, large, { resume: true });
    assert.equal(first.resumedBytes, MIB);
    first.discard();
  }
  const kept = await readdir(directory.path);
  assert.equal(kept.length, 3);
  await using fresh = await PartFile.openFor(target, large, { resume: true });
  assert.equal(fresh.resumedBytes, 0);
  const old = Date.now() / 1000 - 3700;
  for (const name of kept) await utimes(path.join(directory.path, name), old, old);
  await using part = await PartFile.openFor(target, large, { resume: true });
  assert.equal(part.resumedBytes, MIB);
});

test('unused part files are removed after a week, other files never', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  const ofAnother = `.backhaul-${large.upload_id.replace(/.$/, 'f')}-0123456789ab-00000000-4194999-abcdef.part`;
  const ages: readonly (readonly [name: string, days: number])[] = [
    [ofAnother, 8],
    [ofAnother.replace('abcdef', 'abcdee'), 6],
    ['.backhaul-0123456789ab.part', 2],
    ['.backhaul-0123456789ac.part', 0.5],
    ['.backhaul-notes.part', 99],
    ['report.part', 99],
  ];
  for (const [name, days] of ages) {
    await writeFile(path.join(directory.path, name), 'x');
    const time = Date.now() / 1000 - days * 86_400;
    await utimes(path.join(directory.path, name), time, time);
  }
  await using part = await PartFile.openFor(target, large, { resume: true });
  part.discard();
  await part[Symbol.asyncDispose]();
  assert.deepEqual(
    (await readdir(directory.path)).toSorted(),
    [1, 3, 4, 5].map((index) => ages[index]?.[0] ?? '').toSorted(),
  );
});

test('a part file with impossible notes counts as empty', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  const killed = await PartFile.openFor(target, large, { resume: true });
  await writeMebibytes(killed, [0]);
  const left = path.join(directory.path, await leaveBehind(directory.path));
  killed.discard();
  await killed[Symbol.asyncDispose]();
  const content = await readFile(left);
  content.writeUInt32LE(9 * MIB, large.size ?? 0);
  await writeFile(left, content);
  await using part = await PartFile.openFor(target, large, { resume: true });
  assert.equal(part.resumedBytes, 0);
});

test('a process in another container with the same host name does not count as ended', async (t) => {
  if (process.platform !== 'linux') return t.skip('containers can be distinguished only on Linux');
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  const killed = await PartFile.openFor(target, large, { resume: true });
  await writeMebibytes(killed, [0]);
  const left = await leaveBehind(directory.path);
  killed.discard();
  await killed[Symbol.asyncDispose]();
  const byHostNameAlone = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
  const other = left.replace(/-[0-9a-f]{8}-4194999-/, `-${byHostNameAlone}-4194999-`);
  await rename(path.join(directory.path, left), path.join(directory.path, other));
  await using part = await PartFile.openFor(target, large, { resume: true });
  assert.equal(part.resumedBytes, 0);
});

test('a closed part file is resumed at once, also by the same process', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  {
    await using part = await PartFile.openFor(target, large, { resume: true });
    await writeMebibytes(part, [0]);
  }
  await using part = await PartFile.openFor(target, large, { resume: true });
  assert.equal(part.resumedBytes, MIB);
  part.discard();
});

test('a writer that was assumed to have ended does not change the file made from its part file', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  await using stalled = await PartFile.openFor(target, large, { resume: true });
  await writeMebibytes(stalled, [0, 8, 9]);
  const [name = ''] = await readdir(directory.path);
  const elsewhere = name.replace(/-[0-9a-f]{8}-\d+-/, '-00000000-1-');
  await rename(path.join(directory.path, name), path.join(directory.path, elsewhere));
  const old = Date.now() / 1000 - 3700;
  await utimes(path.join(directory.path, elsewhere), old, old);
  {
    await using part = await PartFile.openFor(target, large, { resume: true });
    assert.equal(part.resumedBytes, 3 * MIB);
    await stalled.writeAt(Buffer.alloc(MIB, 'y'), 0);
    for (const { start, end } of part.missing()) await part.writeAt(Buffer.alloc(end - start, 'x'), start);
    await part.commit({ overwrite: false });
  }
  await stalled.writeAt(Buffer.alloc(MIB, 'y'), 19 * MIB);
  await assert.rejects(stalled.commit({ overwrite: true }), { errno: 'ESTALE' });
  assert.ok((await readFile(target)).equals(Buffer.alloc(large.size ?? 0, 'x')));
  assert.deepEqual(await readdir(directory.path), ['report.bin']);
});

test('another file with the name of the part file is not renamed to the target', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  {
    await using part = await openPart(target);
    await part.writeAt(bytes, 0);
    const [name = ''] = await readdir(directory.path);
    await rename(path.join(directory.path, name), path.join(directory.path, 'moved'));
    await writeFile(path.join(directory.path, name), 'other');
    await assert.rejects(part.commit({ overwrite: false }), { errno: 'ESTALE' });
  }
  assert.ok(!(await readdir(directory.path)).includes('report.bin'));
});

test('a part file that is a second link of a finished file is removed and not written to', async () => {
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  const killed = await PartFile.openFor(target, large, { resume: true });
  const [name = ''] = await readdir(directory.path);
  for (const { start, end } of killed.missing()) await killed.writeAt(Buffer.alloc(end - start, 'x'), start);
  // Not disposed, as if the process was killed.
  await killed.commit({ overwrite: false });
  const left = name.replace(/-\d+-([0-9a-f]{6})\.part$/, '-4194999-$1.part');
  await rename(path.join(directory.path, name), path.join(directory.path, left));
  {
    await using part = await PartFile.openFor(target, large, { resume: true });
    assert.equal(part.resumedBytes, 0);
    assert.ok(!(await readdir(directory.path)).includes(left));
    await part.writeAt(Buffer.alloc(MIB, 'y'), 0);
    part.discard();
  }
  assert.ok((await readFile(target)).equals(Buffer.alloc(large.size ?? 0, 'x')));
  assert.equal((await stat(target)).nlink, 1);
});

test('a directory that can be written but not listed gets the file and no leftover part file', async (t) => {
  if (process.platform === 'win32') return t.skip('Windows has no such permissions');
  await using directory = await scratchDirectory();
  const target = path.join(directory.path, 'report.bin');
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) await chown(directory.path, 65_534, 65_534);
  await chmod(directory.path, 0o333);
  // Permissions do not apply to root.
  if (isRoot) process.seteuid?.(65_534);
  try {
    {
      await using cutOff = await PartFile.openFor(target, large, { resume: true });
      await writeMebibytes(cutOff, [0]);
    }
    await using part = await openPart(target);
    await part.writeAt(bytes, 0);
    await part.commit({ overwrite: false });
  } finally {
    if (isRoot) process.seteuid?.(0);
    await chmod(directory.path, 0o700);
  }
  assert.deepEqual(await readdir(directory.path), ['report.bin']);
});
