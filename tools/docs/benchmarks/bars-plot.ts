import type { TopLevelSpec } from 'vega-lite';
import type { Comparison } from '../../../bench/report/comparison.ts';
import { figure } from '../../../bench/report/figure.ts';
import { colour } from './plot-theme.ts';
import { capitalised, runsText } from './wording.ts';

/** A bar from zero for each subject, with a line from its least to its greatest sample; Backhaul's are highlighted. */
export function barsPlot({ quantity, unit, rows }: Comparison): TopLevelSpec {
  const values = rows.map(({ subject, samples, median }) => ({
    subject,
    median,
    least: Math.min(...samples),
    most: Math.max(...samples),
    text: figure(median, samples),
    ours: /^backhaul\b/i.test(subject),
  }));
  const greatest = Math.max(...values.map(({ most }) => most));
  const xOf = (field: string) => ({
    field,
    type: 'quantitative' as const,
    title: unit,
    // Room for the text behind the longest bar.
    scale: { domain: [Math.min(0, ...values.map(({ least }) => least)), greatest * 1.12], nice: false },
    axis: { tickCount: 6, format: ',~r', labelFlush: false },
  });
  return {
    data: { values },
    width: 460,
    height: { step: 34 },
    title: {
      text: `${capitalised(quantity)}, ${unit}`,
      subtitle: runsText(rows, { middle: 'bar', spread: 'line' }),
    },
    encoding: { y: { field: 'subject', type: 'nominal', sort: null, title: null, axis: label } },
    layer: [
      {
        mark: { type: 'bar', height: 20, cornerRadiusEnd: 3 },
        encoding: {
          x: xOf('median'),
          color: { condition: { test: 'datum.ours', value: colour.ours }, value: colour.theirs },
        },
      },
      {
        mark: { type: 'rule', strokeWidth: 1.5, color: colour.ink },
        encoding: { x: xOf('least'), x2: { field: 'most' } },
      },
      {
        mark: { type: 'text', align: 'left', dx: 8, color: colour.ink, fontSize: 12 },
        encoding: { x: xOf('most'), text: { field: 'text' } },
      },
    ],
  };
}

const label = { labelColor: colour.ink, labelLimit: 360, labelFontSize: 13 };
