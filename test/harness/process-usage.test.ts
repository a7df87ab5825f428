import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseStat, parseStatus, processUsage } from './process-usage.ts';

describe('the usage of a process', () => {
  test('is that of this process as Node.js tells it', { skip: process.platform !== 'linux' }, async () => {
    const ballast = Buffer.alloc(64 * 1024 * 1024, 1);
    const { rssBytes, peakRssBytes, cpuSeconds } = await processUsage(process.pid);
    const { user, system } = process.cpuUsage();
    assert.ok(rssBytes > ballast.length && rssBytes <= peakRssBytes, `${rssBytes} of ${peakRssBytes}`);
    assert.ok(Math.abs(cpuSeconds - (user + system) / 1e6) < 0.5, `${cpuSeconds} s`);
  });

  test('is read in kibibytes', () => {
    const text = 'Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n';
    assert.deepEqual(parseStatus(text), { rssBytes: 1_048_576, peakRssBytes: 2_097_152 });
    assert.throws(() => parseStatus('VmRSS:\t1 kB\n'), /VmHWM/);
  });

  test('is found after a name with spaces and parentheses', () => {
    assert.equal(parseStat('1 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 11'), 2);
    assert.throws(() => parseStat('1 (a) S'));
  });
});
