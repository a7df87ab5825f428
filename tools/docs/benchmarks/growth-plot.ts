import type { TopLevelSpec } from 'vega-lite';
import { figure } from '../../../bench/report/figure.ts';
import type { Growth } from '../../../bench/report/growth.ts';
import { median } from '../../../bench/quantile.ts';
import { colour } from './plot-theme.ts';
import { capitalised, runsText } from './wording.ts';

/**
 * A line for each subject. Both axes are logarithmic, so that the slope shows the order of growth: a level line is
 * constant, one decade up per decade to the right is proportional. If a value is not positive, the vertical axis is
 * linear, from 0.
 */
export function growthPlot({ quantity, unit, axis, series }: Growth): TopLevelSpec {
  const values = series.flatMap(({ subject, points }) =>
    points.map(({ at, samples }, index) => ({
      subject,
      at,
      median: median(samples),
      least: Math.min(...samples),
      most: Math.max(...samples),
      // With several lines, only their ends have room for a figure.
      text: series.length === 1 || index === points.length - 1 ? figure(median(samples), samples) : '',
    })),
  );
  const y = scaleOf(values.flatMap(({ least, most }) => [least, most]));
  const scales = {
    x: padded(scaleOf(values.map(({ at }) => at))),
    y: y.kind === 'linear' ? y : widened(y),
  };
  const xOf = (field: string) => ({
    field,
    type: 'quantitative' as const,
    title: axis,
    scale: scales.x.scale,
    axis: { ...scales.x.axis, grid: false, labelFlush: false },
  });
  const yOf = (field: string) => ({
    field,
    type: 'quantitative' as const,
    title: null,
    scale: scales.y.scale,
    axis: scales.y.axis,
  });
  return {
    data: { values },
    width: 560,
    height: 280,
    title: {
      text: `${capitalised(quantity)}, ${unit}`,
      subtitle: [
        `By ${axis}; ${axesText(scales.x.kind, scales.y.kind)}`,
        runsText(
          series.flatMap(({ points }) => points),
          { middle: 'point', spread: 'upright line' },
        ),
      ],
    },
    encoding: { color: { field: 'subject', sort: null, ...(series.length === 1 && { legend: null }) } },
    layer: [
      { mark: { type: 'line', strokeWidth: 2 }, encoding: { x: xOf('at'), y: yOf('median') } },
      {
        mark: { type: 'rule', strokeWidth: 1.5 },
        encoding: { x: xOf('at'), y: yOf('least'), y2: { field: 'most' } },
      },
      {
        mark: { type: 'point', filled: true, size: 64, opacity: 1 },
        encoding: { x: xOf('at'), y: yOf('median') },
      },
      {
        mark: { type: 'text', dy: -12, fontSize: 12 },
        encoding: {
          x: xOf('at'),
          y: yOf('most'),
          text: { field: 'text' },
          color: { value: colour.ink },
        },
      },
    ],
  };
}

interface Scale {
  readonly kind: 'log' | 'linear';
  readonly scale: { type: 'log' | 'linear'; domain: number[]; nice: false };
  readonly axis: { values: number[]; format: string } | { tickCount: number; format: string };
}

function scaleOf(values: readonly number[]): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (least <= 0) {
    const domain = [Math.min(0, least), most > 0 ? most * 1.1 : 1];
    return {
      kind: 'linear',
      scale: { type: 'linear', domain, nice: false },
      axis: { tickCount: 6, format: ',~r' },
    };
  }
  return decades(Math.floor(Math.log10(least)), Math.ceil(Math.log10(most)));
}

/** At least two decades, the top one with room for a figure: a narrower range would make noise look like growth. */
function widened({ scale }: Scale): Scale {
  const [from = 0, to = 0] = scale.domain.map((value) => Math.round(Math.log10(value)));
  return decades(from, Math.max(to, from + 2));
}

/** Leaves a margin, so that figures at the first and last points do not overlap the axis. */
function padded({ kind, scale, axis }: Scale): Scale {
  const [from = 0, to = 0] = scale.domain;
  const domain = kind === 'log' ? [from / 1.8, to * 1.5] : [from, to];
  return { kind, scale: { ...scale, domain }, axis };
}

function decades(from: number, to: number): Scale {
  const end = Math.max(to, from + 1);
  const values = Array.from({ length: end - from + 1 }, (_, index) => Number(`1e${from + index}`));
  return {
    kind: 'log',
    scale: { type: 'log', domain: [Number(`1e${from}`), Number(`1e${end}`)], nice: false },
    axis: { values, format: ',~r' },
  };
}

function axesText(x: Scale['kind'], y: Scale['kind']): string {
  if (x === y) return x === 'log' ? 'both axes logarithmic' : 'both axes linear';
  return x === 'log' ? 'horizontal axis logarithmic' : 'vertical axis logarithmic';
}
