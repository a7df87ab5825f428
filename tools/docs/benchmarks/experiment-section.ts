import { comparisonsOf } from '../../../bench/report/comparison.ts';
import { figure, spread } from '../../../bench/report/figure.ts';
import { type Growth, growthsOf } from '../../../bench/report/growth.ts';
import type { Result } from '../../../bench/report/results.ts';
import { median } from '../../../bench/quantile.ts';
import { markdownTable } from '../markdown-table.ts';
import { machineText } from './machine-text.ts';
import { plotsOf } from './plots.ts';

/** The results of one experiment: tables, plots and notes. @param folder Folder of the plots, from the page. */
export function experimentSection(result: Result, folder: string): string {
  const { name, title, about, machine, findings } = result;
  const growths = growthsOf(findings.measurements);
  const axes = Map.groupBy(growths, ({ axis }) => axis);
  return [
    `<a id="${name}"></a>`,
    `## ${title}`,
    about,
    ...comparisonTable(result),
    ...[...axes].map(([axis, group]) => growthTable(axis, group)),
    ...plotsOf(result).map(({ fileName, alt }) => `![${alt}](${folder}/${fileName})`),
    ...(findings.notes.length === 0 ? [] : [findings.notes.map((note) => `- ${note}`).join('\n')]),
    `${machineText(machine)} To repeat it: \`npm run bench -- --only ${name}\`.`,
  ].join('\n\n');
}

function comparisonTable({ findings }: Result): string[] {
  const rows = comparisonsOf(findings.measurements).flatMap(({ quantity, unit, rows }) =>
    rows.map(({ subject, samples, median, ratio }, index) => [
      index === 0 ? `${quantity}, ${unit}` : '',
      subject,
      figure(median, samples),
      spread(samples),
      String(samples.length),
      ratio === undefined ? '' : `× ${ratio.toFixed(2)}`,
    ]),
  );
  const head = ['', '', 'median', 'min – max', 'runs', 'by the first'];
  return rows.length === 0 ? [] : [markdownTable(head, rows)];
}

/** A row for each value of the axis, and a column for each line of the plots. */
function growthTable(axis: string, growths: readonly Growth[]): string {
  const columns = growths.flatMap(({ quantity, unit, series }) =>
    series.map(({ subject, points }) => ({
      head: `${quantity} of ${subject}, ${unit}`,
      cells: new Map(points.map(({ at, samples }) => [at, cellOf(samples)])),
    })),
  );
  const positions = new Set(columns.flatMap(({ cells }) => [...cells.keys()]));
  return markdownTable(
    [axis, ...columns.map(({ head }) => head)],
    [...positions]
      .toSorted((a, b) => a - b)
      .map((at) => [figure(at), ...columns.map(({ cells }) => cells.get(at) ?? '')]),
  );
}

function cellOf(samples: readonly number[]): string {
  const middle = figure(median(samples), samples);
  return samples.length === 1 ? middle : `${middle} (${spread(samples)})`;
}
