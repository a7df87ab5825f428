import type { TopLevelSpec } from 'vega-lite';
import { comparisonsOf } from '../../../bench/report/comparison.ts';
import { growthsOf } from '../../../bench/report/growth.ts';
import type { Result } from '../../../bench/report/results.ts';
import { barsPlot } from './bars-plot.ts';
import { growthPlot } from './growth-plot.ts';
import { capitalised } from './wording.ts';

export interface Plot {
  readonly fileName: string;
  /** Alternative text; the table has the figures. */
  readonly alt: string;
  readonly spec: TopLevelSpec;
}

/** One plot for each quantity with more than one value. */
export function plotsOf({ name, findings: { measurements } }: Result): readonly Plot[] {
  const bars = comparisonsOf(measurements)
    .filter(({ rows }) => rows.length > 1)
    .map((comparison) => ({
      fileName: `${name}-${slug(comparison.quantity)}.svg`,
      alt: `${capitalised(comparison.quantity)} in ${comparison.unit}, as bars`,
      spec: barsPlot(comparison),
    }));
  const lines = growthsOf(measurements)
    .filter(({ series }) => series.some(({ points }) => points.length > 1))
    .map((growth) => ({
      fileName: `${name}-${slug(growth.quantity)}-by-${slug(growth.axis)}.svg`,
      alt: `${capitalised(growth.quantity)} in ${growth.unit} by ${growth.axis}, as lines`,
      spec: growthPlot(growth),
    }));
  const plots = [...bars, ...lines];
  const names = plots.map(({ fileName }) => fileName);
  const twice = names.find((one, index) => names.indexOf(one) !== index);
  if (twice !== undefined) throw new Error(`two quantities of ${name} would both be written to ${twice}`);
  return plots;
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}
