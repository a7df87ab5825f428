import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileWatch } from './file-watch.ts';

describe('a watch of files', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'backhaul-watch-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('detects a changed link target, once', { timeout: 30_000 }, async () => {
    const live = join(directory, 'live.pem');
    for (const name of ['one', 'two']) writeFileSync(join(directory, name), name);
    symlinkSync('one', live);
    const { promise: changed, resolve } = Promise.withResolvers<void>();
    let changes = 0;
    using _watch = new FileWatch([live], {
      intervalMs: 10,
      onChange: () => {
        changes += 1;
        resolve();
      },
    });
    await sleep(100);
    assert.equal(changes, 0, 'nothing has changed yet');
    symlinkSync('two', join(directory, 'next'));
    renameSync(join(directory, 'next'), live);
    await changed;
    await sleep(100);
    assert.equal(changes, 1);
  });

  test('detects a changed permission', { timeout: 30_000 }, async () => {
    const file = join(directory, 'key.pem');
    writeFileSync(file, 'a key', { mode: 0o000 });
    const { promise: changed, resolve } = Promise.withResolvers<void>();
    using _watch = new FileWatch([file], { intervalMs: 10, onChange: () => resolve() });
    await sleep(100);
    chmodSync(file, 0o600);
    await changed;
  });

  test('waits until a file no longer changes', { timeout: 30_000 }, async () => {
    const file = join(directory, 'growing.pem');
    writeFileSync(file, '');
    const { promise: changed, resolve } = Promise.withResolvers<number>();
    let written = 0;
    using _watch = new FileWatch([file], { intervalMs: 250, onChange: () => resolve(written) });
    await sleep(300);
    for (; written < 20; written += 1) {
      writeFileSync(file, 'x'.repeat(written + 1));
      await sleep(25);
    }
    assert.equal(await changed, 20, 'seen only after the last write');
  });
});
