import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { millisecondsSince, pathSentNow } from './sent-path.ts';

describe('a path that says when it was sent', () => {
  test('is read by another process of the machine', async () => {
    const module = new URL('sent-path.ts', import.meta.url).href;
    const script = `console.log((await import(${JSON.stringify(module)})).pathSentNow())`;
    const before = process.hrtime.bigint();
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    const age = millisecondsSince(stdout.trim());
    const most = Number(process.hrtime.bigint() - before) / 1e6;
    assert.ok(age >= 0 && age <= most, `${age} ms of at most ${most} ms`);
  });

  test('is another one each time', () => {
    assert.notEqual(pathSentNow(), pathSentNow());
  });

  test('is not just any path', () => {
    assert.throws(() => millisecondsSince('/bench/report.bin'), /does not say when it was sent/);
  });
});
