import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeReport } from './capability-probe.ts';
import { CapabilityProber } from './capability-prober.ts';

const report: ProbeReport = {
  capabilities: {
    checksumMode: 'crc32',
    fullObjectChecksum: true,
    conditionalComplete: true,
    objectSizeCheck: true,
    partProof: 'checksum',
    conditionalPut: true,
    emptyObjectCrc32: true,
    serverSideEncryption: null,
    storageClass: null,
  },
  findings: [],
};

test('however many ask, one probe runs', async () => {
  let probes = 0;
  const prober = new CapabilityProber(async () => {
    probes++;
    return report;
  });
  const answers = await Promise.all([prober.report(), prober.report(), prober.report()]);
  assert.deepEqual(answers, [report, report, report]);
  await prober.report();
  assert.equal(probes, 1);
});

test('a failed probe is repeated by the next to ask, but not before the pause', async () => {
  let now = 0;
  let probes = 0;
  const prober = new CapabilityProber(
    async () => {
      probes++;
      if (probes < 3) throw new Error(`away ${probes}`);
      return report;
    },
    { now: () => now, random: () => 0.5 },
  );
  await assert.rejects(prober.report(), { message: 'away 1' });
  now = 499;
  await assert.rejects(prober.report(), { message: 'away 1' });
  assert.equal(probes, 1);
  now = 500;
  await assert.rejects(prober.report(), { message: 'away 2' });
  now = 1_499;
  await assert.rejects(prober.report(), { message: 'away 2' });
  assert.equal(probes, 2);
  now = 1_500;
  assert.equal(await prober.report(), report);
});

test('who gives up waiting does not end the probe for the others', async () => {
  const { promise, resolve } = Promise.withResolvers<ProbeReport>();
  const prober = new CapabilityProber(async () => promise);
  const controller = new AbortController();
  const impatient = prober.report({ signal: controller.signal });
  const patient = prober.report();
  controller.abort(new Error('enough'));
  await assert.rejects(impatient, { message: 'enough' });
  resolve(report);
  assert.equal(await patient, report);
});

test('who wants to know anew has a probe of now, and what is relied on stays', async () => {
  const later: ProbeReport = {
    ...report,
    findings: [{ name: 'later', level: 'ok', detail: '', fix: null }],
  };
  const reports = [report, later];
  let probes = 0;
  const prober = new CapabilityProber(async () => {
    probes++;
    return reports.shift() ?? assert.fail('probed once more');
  });
  assert.equal(prober.known, undefined);
  assert.equal(await prober.reportAnew(), report, 'the first is as new as any');
  assert.deepEqual(await Promise.all([prober.reportAnew(), prober.reportAnew()]), [later, later]);
  assert.equal(probes, 2);
  assert.equal(prober.known, report);
  assert.equal(await prober.report(), report);
});

test('closing ends a repeated probe, too', { timeout: 10_000 }, async () => {
  let ended = false;
  let probes = 0;
  const prober = new CapabilityProber(async (signal) => {
    probes++;
    if (probes === 1) return report;
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        setImmediate(() => {
          ended = true;
          reject(signal.reason as Error);
        });
      });
    });
  });
  await prober.report();
  const waiting = assert.rejects(prober.reportAnew(), { message: 'the bucket was closed' });
  await prober.close();
  assert.ok(ended);
  await waiting;
  await assert.rejects(prober.reportAnew(), { message: 'the bucket was closed' });
});

test('closing ends a probe under way and waits for it', async () => {
  let ended = false;
  const prober = new CapabilityProber(
    async (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          setImmediate(() => {
            ended = true;
            reject(signal.reason as Error);
          });
        });
      }),
  );
  const waiting = assert.rejects(prober.report(), { message: 'the bucket was closed' });
  await prober.close();
  assert.ok(ended);
  await waiting;
  await prober.close();
});
