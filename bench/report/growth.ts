import type { Findings } from '../experiment.ts';

/** Measurements of one quantity along an axis. */
export interface Growth {
  readonly quantity: string;
  readonly unit: string;
  readonly axis: string;
  readonly series: readonly GrowthSeries[];
}

export interface GrowthSeries {
  readonly subject: string;
  /** Sorted in ascending order. */
  readonly points: readonly GrowthPoint[];
}

export interface GrowthPoint {
  readonly at: number;
  readonly samples: readonly number[];
}

export function growthsOf(measurements: Findings['measurements']): readonly Growth[] {
  const placed = measurements.flatMap(({ at, ...rest }) =>
    at === undefined ? [] : [{ ...rest, axis: at.axis, at: at.value }],
  );
  const groups = Map.groupBy(placed, ({ quantity, unit, axis }) => JSON.stringify([axis, quantity, unit]));
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { quantity, unit, axis } = first;
    const bySubject = Map.groupBy(group, ({ subject }) => subject);
    const series = [...bySubject].map(([subject, points]) => ({
      subject,
      points: points.map(({ at, samples }) => ({ at, samples })).toSorted((a, b) => a.at - b.at),
    }));
    return [{ quantity, unit, axis, series }];
  });
}
