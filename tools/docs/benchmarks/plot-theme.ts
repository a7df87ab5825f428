import type { Config } from 'vega-lite';

/** Each colour in light and in dark mode. */
const colours = {
  paper: ['#ffffff', '#0d1117'],
  ink: ['#1f2328', '#e6edf3'],
  muted: ['#59636e', '#9198a1'],
  grid: ['#e4e8ec', '#262c36'],
  ours: ['#0969da', '#4493f8'],
  theirs: ['#9aa4ae', '#6b7480'],
  second: ['#bc4c00', '#f0883e'],
  third: ['#1a7f37', '#3fb950'],
  fourth: ['#8250df', '#ab7df8'],
} as const satisfies Record<string, readonly [light: string, dark: string]>;

/** Colour by name, as written into a plot. */
export const colour = Object.fromEntries(
  Object.entries(colours).map(([name, [light]]) => [name, light]),
) as Record<keyof typeof colours, string>;

/** Colours of lines; the first is Backhaul's. */
const lineColours = [colour.ours, colour.second, colour.third, colour.fourth];

const font = 'system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif';

export const plotConfig: Config = {
  background: colour.paper,
  font,
  padding: 16,
  view: { stroke: null },
  title: {
    anchor: 'start',
    frame: 'bounds',
    color: colour.ink,
    fontSize: 15,
    fontWeight: 600,
    offset: 16,
    subtitleColor: colour.muted,
    subtitleFontSize: 12,
    subtitlePadding: 6,
  },
  axis: {
    domain: false,
    gridColor: colour.grid,
    labelColor: colour.muted,
    labelFontSize: 12,
    labelPadding: 6,
    ticks: false,
    titleColor: colour.muted,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titlePadding: 10,
  },
  legend: { labelColor: colour.ink, labelFontSize: 12, orient: 'top', symbolSize: 90, title: null },
  range: { category: lineColours },
};

/**
 * Attributes have light colours, for renderers without CSS; browsers prefer this style. The background
 * changes as well, so that a plot is readable on a page without dark mode.
 */
export const darkStyle = `<style>@media (prefers-color-scheme: dark) {${Object.values(colours)
  .flatMap(([light, dark]) => [`[fill="${light}"]{fill:${dark}}`, `[stroke="${light}"]{stroke:${dark}}`])
  .join('')}}</style>`;
