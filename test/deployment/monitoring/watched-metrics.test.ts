import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { Stage } from '../../harness/stage.ts';
import { type ExposedMetric, readExposition } from './exposition.ts';
import { type WatchedExpression, watchedExpressions } from './monitoring-files.ts';
import { readPromQl } from './promql.ts';
import { s3Operations, s3Outcomes } from './s3-labels.ts';

/** Prometheus adds these to every scraped target. */
const targetLabels = ['job', 'instance'];
/** Prometheus creates these itself. */
const madeMetrics = new Set(['up']);
/** prom-client reads these from Linux' /proc. */
const linuxMetrics = new Set(['process_open_fds', 'process_max_fds']);

const S3_DURATION = 'backhaul_s3_request_duration_seconds';

describe('what alerts and dashboard ask for', () => {
  let metrics: Map<string, ExposedMetric>;
  let expressions: WatchedExpression[];

  before(async () => {
    metrics = await scrapeAfterPulls();
    expressions = await watchedExpressions();
    assert.ok(expressions.length > 40);
  });

  const known = (name: string): boolean =>
    metrics.has(name) || madeMetrics.has(name) || (process.platform !== 'linux' && linuxMetrics.has(name));

  test('are metrics that the server has', () => {
    for (const { where, expression } of expressions) {
      for (const { metric } of readPromQl(expression).selectors)
        assert.ok(known(metric), `${where}: ${metric}`);
    }
  });

  test('are labels that these metrics have, with values that occur', () => {
    for (const { where, expression } of expressions) {
      for (const { metric, matchers } of readPromQl(expression).selectors) {
        for (const { label, values } of matchers) {
          if (label === 'job') assert.deepEqual(values, ['backhaul'], where);
          if (targetLabels.includes(label)) continue;
          const occurring = valuesOf(metrics.get(metric), label);
          assert.ok(occurring.size > 0, `${where}: ${metric} has no label ${label}`);
          for (const value of values) {
            assert.ok(occurring.has(value), `${where}: ${label} of ${metric} is never ${value}`);
          }
        }
      }
    }
  });

  test('are grouped and shown by labels that they have', () => {
    for (const { where, expression, shownLabels } of expressions) {
      const { selectors, grouping } = readPromQl(expression);
      const labels = new Set([
        ...targetLabels,
        ...selectors.flatMap(({ metric }) => [...(metrics.get(metric)?.labels.keys() ?? [])]),
      ]);
      for (const label of [...grouping, ...shownLabels]) assert.ok(labels.has(label), `${where}: ${label}`);
    }
  });

  test('is, of the server’s own metrics, every one', () => {
    const asked = new Set(
      expressions.flatMap(({ expression }) => readPromQl(expression).selectors.map(({ metric }) => metric)),
    );
    const families = [...metrics].filter(([, { family }]) => family.startsWith('backhaul_'));
    const watched = new Set(families.filter(([name]) => asked.has(name)).map(([, { family }]) => family));
    const unwatched = new Set(families.map(([, { family }]) => family)).difference(watched);
    assert.deepEqual([...unwatched], [], 'add it to the dashboard');
  });

  test('names every operation and outcome of the object store that occurred', () => {
    const { labels } = metrics.get(`${S3_DURATION}_count`) ?? {};
    const operations = labels?.get('operation') ?? new Set();
    assert.ok(operations.size >= 6, [...operations].join());
    assert.deepEqual([...operations.difference(new Set(s3Operations))], []);
    assert.deepEqual([...(labels?.get('outcome') ?? new Set()).difference(new Set(s3Outcomes))], []);
  });
});

function valuesOf(metric: ExposedMetric | undefined, label: string): ReadonlySet<string> {
  const seen = metric?.labels.get(label) ?? new Set<string>();
  if (metric?.family !== S3_DURATION || seen.size === 0) return seen;
  if (label === 'operation') return seen.union(new Set(s3Operations));
  return label === 'outcome' ? seen.union(new Set(s3Outcomes)) : seen;
}

/** Scrapes metrics with all values that a pull can produce. */
async function scrapeAfterPulls(): Promise<Map<string, ExposedMetric>> {
  await using stage = await Stage.start();
  const file = stage.directory.join('report.bin');
  await writeFile(file, 'report');
  await stage.startAgent('till', ['--file', file]);
  const { status, upload_id: id } = await stage.pull('till', {});
  assert.equal(status, 'completed');
  assert.equal((await stage.fetch(`/uploads/${id}/content`)).status, 302);
  return readExposition(await (await stage.fetch('/metrics')).text());
}
