import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { temporaryDirectory } from '../test/harness/temporary-directory.ts';
import { benchProgram } from './bench-program.ts';
import type { Bench, Experiment, Findings } from './experiment.ts';
import { readResults } from './report/results.ts';

/** Measures a throughput of ten and requires at least `atLeast`. */
function experiment(name: string, atLeast: number): Experiment {
  const measurement = { quantity: 'throughput', unit: 'MB/s', subject: 'Backhaul', samples: [9, 10, 11] };
  const requirement = { text: `speed of ${name}`, measured: 10, unit: 'MB/s', limit: { atLeast } };
  const findings: Findings = { measurements: [measurement], requirements: [requirement], notes: [] };
  return { name, title: `Title of ${name}`, about: 'About.', run: async () => findings };
}

const slow = experiment('slow', 20);
const fast = experiment('fast', 5);
const broken: Experiment = {
  ...fast,
  name: 'broken',
  run: () => Promise.reject(new Error('no such peer')),
};

async function run(
  argv: readonly string[],
  experiments: readonly Experiment[],
): Promise<{ code: number; stdout: string; stderr: string; saved: readonly string[] }> {
  await using directory = await temporaryDirectory();
  const resultsFile = directory.join('results.json');
  let stdout = '';
  let stderr = '';
  const code = await benchProgram({
    argv,
    experiments,
    build: async () => {},
    resultsFile,
    stdout: (text) => (stdout += `${text}\n`),
    stderr: (text) => (stderr += `${text}\n`),
    signal: new AbortController().signal,
  });
  const saved = (await readResults(resultsFile)).map(({ name }) => name);
  return { code, stdout, stderr, saved };
}

describe('npm run bench', () => {
  test('says which requirements are missed, and fails for one only with --strict', async () => {
    const lenient = await run([], [slow, fast]);
    assert.equal(lenient.code, 0);
    assert.match(lenient.stdout, /^ {2}MISSED {2}speed of slow: 10 MB\/s \(at least 20 MB\/s\)$/m);
    assert.match(lenient.stdout, /^ {2}met {5}speed of fast/m);
    assert.match(lenient.stdout, /^1 of 2 requirements met; missed: speed of slow$/m);
    assert.equal((await run(['--strict'], [slow, fast])).code, 1);
    assert.equal((await run(['--strict'], [fast])).code, 0);
  });

  test('runs what --only names, lists without running, and helps', async () => {
    const { stdout } = await run(['--only', 'fast'], [broken, slow, fast]);
    assert.match(stdout, /Title of fast/);
    assert.doesNotMatch(stdout, /Title of slow|FAILED/);
    const list = await run(['--list'], [broken, fast]);
    assert.deepEqual([list.code, list.stdout], [0, 'broken  Title of fast\nfast    Title of fast\n']);
    assert.match((await run(['--help'], [broken])).stdout, /^Usage: npm run bench/);
  });

  test('goes on after an experiment that failed, and fails in the end', async () => {
    const { code, stdout, stderr, saved } = await run(['--save'], [broken, fast]);
    assert.equal(code, 1);
    assert.match(stdout, /Title of fast[^]*1 of 1 requirements met/);
    assert.equal(stderr, 'bench: broken failed: no such peer\n');
    assert.deepEqual(saved, ['fast']);
  });

  test('saves only when told to', async () => {
    assert.deepEqual((await run([], [slow, fast])).saved, []);
    assert.deepEqual((await run(['--save'], [slow, fast])).saved, ['slow', 'fast']);
  });

  test('keeps standard output to JSON with --json', async () => {
    const { stdout, stderr } = await run(['--json'], [fast]);
    const { experiments } = JSON.parse(stdout) as { experiments: { name: string }[] };
    assert.deepEqual(
      experiments.map(({ name }) => name),
      ['fast'],
    );
    assert.match(stderr, /Title of fast[^]*1 of 1 requirements met/);
  });

  test('refuses a figure that is no number', async () => {
    const measurements = [{ quantity: 'q', unit: 'u', subject: 's', samples: [Number.NaN] }];
    const run0 = async () => ({ measurements, requirements: [], notes: [] });
    const { code, stderr } = await run(['--save'], [{ ...fast, name: 'odd', run: run0 }]);
    assert.equal(code, 1);
    assert.match(stderr, /odd failed: .*NaN/s);
  });

  test('gives each experiment an empty directory, which is gone afterwards, and --quick', async () => {
    const benches: Bench[] = [];
    const look = async (bench: Bench): Promise<Findings> => {
      assert.deepEqual(await readdir(bench.directory.path), []);
      benches.push(bench);
      return { measurements: [], requirements: [], notes: [] };
    };
    assert.equal((await run(['--quick'], [{ ...fast, run: look }])).code, 0);
    assert.equal((await run([], [{ ...fast, run: look }])).code, 0);
    assert.deepEqual(
      benches.map(({ quick }) => quick),
      [true, false],
    );
    for (const { directory } of benches) await assert.rejects(readdir(directory.path), { code: 'ENOENT' });
  });
});
