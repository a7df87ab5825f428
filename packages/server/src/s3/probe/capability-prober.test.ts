import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allCapabilities } from '../../../../../test/doubles/fake-bucket.ts';
import type { ProbeReport } from './capability-probe.ts';
import { CapabilityProber } from './capability-prober.ts';

const report: ProbeReport = { capabilities: allCapabilities, findings: [] };

test('concurrent callers share one probe', async () => {
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

test('a failed probe is repeated by the next caller, but not before the pause has passed', async () => {
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

test('a caller that stops waiting does not cancel the probe for others', async () => {
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

test('a fresh report runs a new probe and does not change the capabilities in use', async () => {
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
  assert.equal(await prober.freshReport(), report, 'the first report is fresh');
  assert.deepEqual(await Promise.all([prober.freshReport(), prober.freshReport()]), [later, later]);
  assert.equal(probes, 2);
  assert.equal(prober.known, report);
  assert.equal(await prober.report(), report);
});

test('closing also stops a repeated probe', { timeout: 10_000 }, async () => {
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
  const waiting = assert.rejects(prober.freshReport(), { message: 'the bucket was closed' });
  await prober.close();
  assert.ok(ended);
  await waiting;
  await assert.rejects(prober.freshReport(), { message: 'the bucket was closed' });
});

test('closing stops a running probe and waits for it', async () => {
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
