import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { processUsage } from '../test/harness/process-usage.ts';
import { resetPeak } from './reset-peak.ts';

const MiB = 1024 * 1024;

test('a peak of before is forgotten', { skip: process.platform !== 'linux' && 'needs procfs' }, async () => {
  // This memory has its own mapping, so shrinking it releases it immediately.
  const script = `
    const buffer = new ArrayBuffer(${64 * MiB}, { maxByteLength: ${64 * MiB} });
    new Uint8Array(buffer).fill(1);
    buffer.resize(0);
    process.stdin.resume();
    console.log('done');`;
  using child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  await once(child.stdout, 'data');
  const { pid } = child;
  assert.ok(pid !== undefined);
  const before = await processUsage(pid);
  assert.ok(before.peakRssBytes - before.rssBytes > 32 * MiB, JSON.stringify(before));
  await resetPeak(pid);
  const after = await processUsage(pid);
  assert.ok(after.peakRssBytes - after.rssBytes < 16 * MiB, JSON.stringify(after));
  child.stdin.end();
  await exit;
});
