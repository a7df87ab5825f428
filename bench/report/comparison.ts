import { median } from '../quantile.ts';
import type { Findings } from '../experiment.ts';

type Measurement = Findings['measurements'][number];

/** Sorted measurements of one quantity without an axis. */
export interface Comparison {
  readonly quantity: string;
  readonly unit: string;
  readonly rows: readonly ComparedSubject[];
}

export interface ComparedSubject {
  readonly subject: string;
  readonly samples: readonly number[];
  readonly median: number;
  /** Ratio of its median to that of the first subject; undefined if meaningless. */
  readonly ratio: number | undefined;
}

export function comparisonsOf(measurements: readonly Measurement[]): readonly Comparison[] {
  const single = measurements.filter(({ at }) => at === undefined);
  const groups = Map.groupBy(single, ({ quantity, unit }) => JSON.stringify([quantity, unit]));
  return [...groups.values()].map((group) => compare(group));
}

function compare(group: readonly Measurement[]): Comparison {
  const [first] = group;
  if (first === undefined) throw new RangeError('nothing to compare');
  const reference = median(first.samples);
  return {
    quantity: first.quantity,
    unit: first.unit,
    rows: group.map(({ subject, samples }) => ({
      subject,
      samples,
      median: median(samples),
      ratio: group.length > 1 && reference > 0 ? median(samples) / reference : undefined,
    })),
  };
}
