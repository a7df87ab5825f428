import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { renderResults, type Result } from '../../../bench/report/results.ts';
import { temporaryDirectory } from '../../../test/harness/temporary-directory.ts';
import { benchmarkDocuments, PLOTS_FOLDER } from './benchmark-documents.ts';
import { madeUpResults } from './fakes/made-up-results.ts';
import { obsoletePlots } from './obsolete-plots.ts';

async function documentsOf(results: readonly Result[], hasTried = false): Promise<Map<string, string>> {
  await using directory = await temporaryDirectory();
  const resultsFile = directory.join('results.json');
  await writeFile(resultsFile, renderResults(results));
  const documents = await benchmarkDocuments({ resultsFile, hasTried });
  const texts = new Map<string, string>();
  for (const document of documents) texts.set(document.path, await document.generate());
  return texts;
}

describe('the page of benchmarks', () => {
  let page: string;

  before(async () => {
    page = (await documentsOf(madeUpResults)).get('docs/benchmarks.md') ?? '';
  });

  const lines = (...expected: string[]) => {
    for (const line of expected) assert.ok(page.includes(`\n${line}\n`), `${line}\nis not in\n${page}`);
  };

  test('shows which requirements are met and which are missed', () => {
    lines(
      '**1 of 2 requirements met; missed: small enough.**',
      '| fast enough | at least 800 MB/s | 1,050 MB/s | met | [speed](#speed) |',
      '| small enough | at most 30 KB | 30.04 KB | **missed** | [speed](#speed) |',
    );
  });

  test('has every median with its spread, and its ratio to the first', () => {
    lines(
      '| throughput, MB/s | Backhaul | 1,050 | 1,010 – 1,100 | 3 | × 1.00 |',
      '|  | curl -T | 2,100 | 2,090 – 2,200 | 3 | × 2.00 |',
      '| start, s | Backhaul | 0.250 | 0.250 | 1 |  |',
    );
  });

  test('has a row for each position on an axis, empty without a measurement', () => {
    lines(
      '| agents | memory of Backhaul, MB | time of Backhaul, ms | time of other, ms |',
      '| 1 | 80.2 | 1 (0 – 2) |  |',
      '| 1,000 | 81.7 | 40 | 90 |',
    );
  });

  test('states for each experiment when, where and at which commit it was run, with its notes', () => {
    assert.match(
      page,
      /on 2026-01-02 at commit `0123456789ab` with uncommitted changes, on 2 cores of Made-up CPU with 16\.0 GB/,
    );
    assert.match(page, /at commit `ba9876543210`, on 2 cores/);
    assert.match(page, /Installed peers: curl 8\.0\.0\./);
    lines('- rclone is not installed, so it was left out.');
  });

  test('shows every plot', async () => {
    const shown = [...page.matchAll(/!\[[^\]]+\]\(benchmarks\/([^)]+)\)/g)].map(([, name]) => name);
    const plots = ['speed-throughput', 'growth-memory-by-agents', 'growth-time-by-agents'];
    assert.deepEqual(
      shown,
      plots.map((name) => `${name}.svg`),
    );
    assert.deepEqual(
      [...(await documentsOf(madeUpResults)).keys()],
      ['docs/benchmarks.md', ...shown.map((name) => `${PLOTS_FOLDER}/${name}`)],
    );
  });

  test('reports when there are no results yet, and links to tried.md if it exists', async () => {
    const empty = (await documentsOf([])).get('docs/benchmarks.md') ?? '';
    assert.match(empty, /No results are saved yet\./);
    assert.doesNotMatch(empty, /results\.json\)|tried\.md|\n{3}/);
    const tried = (await documentsOf([], true)).get('docs/benchmarks.md') ?? '';
    assert.match(tried, /\(benchmarks\/tried\.md\)/);
  });

  test('refuses two plots of one name', async () => {
    const [speed] = madeUpResults;
    assert.ok(speed !== undefined);
    const units = speed.findings.measurements.map((one) => ({ ...one, unit: `k${one.unit}` }));
    const measurements = [...speed.findings.measurements, ...units];
    const twice = { ...speed, findings: { ...speed.findings, measurements } };
    await assert.rejects(documentsOf([twice]), /two quantities of speed .* speed-throughput\.svg/);
  });
});

test('finds plots that no result uses, and no other files', async () => {
  await using directory = await temporaryDirectory();
  const made = [{ path: `${PLOTS_FOLDER}/made.svg` }];
  assert.deepEqual(await obsoletePlots(directory.path, made), []);
  await mkdir(directory.join(PLOTS_FOLDER), { recursive: true });
  for (const name of ['old.svg', 'made.svg', 'results.json', 'tried.md']) {
    await writeFile(join(directory.path, PLOTS_FOLDER, name), '');
  }
  assert.deepEqual(await obsoletePlots(directory.path, made), [`${PLOTS_FOLDER}/old.svg`]);
});
