import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { madeUpResults } from './fakes/made-up-results.ts';
import { darkStyle } from './plot-theme.ts';
import { plotsOf } from './plots.ts';
import { renderPlot } from './render-plot.ts';

async function svgOf(fileName: string): Promise<string> {
  const plot = madeUpResults.flatMap((result) => plotsOf(result)).find((one) => one.fileName === fileName);
  assert.ok(plot !== undefined);
  return renderPlot(plot.spec);
}

const names = ['speed-throughput.svg', 'growth-memory-by-agents.svg', 'growth-time-by-agents.svg'];

describe('plots', () => {
  test('are the same bytes each time, regardless of earlier plots', async () => {
    const first = new Map<string, string>();
    for (const name of names) first.set(name, await svgOf(name));
    for (const name of names.toReversed()) assert.equal(await svgOf(name), first.get(name));
  });

  test('have a dark-mode colour for each colour, and need no specific font', async () => {
    for (const name of names) {
      const svg = await svgOf(name);
      const used = [...svg.matchAll(/(?:fill|stroke)="([^"]+)"/g)].map(([, value]) => value ?? '');
      const plain = new Set(used.filter((value) => !['none', 'transparent'].includes(value)));
      assert.ok(plain.size >= 4, `${name}: ${[...plain].join()}`);
      for (const value of plain) {
        assert.ok(darkStyle.includes(`[fill="${value}"]{fill:#`), `${value} in ${name}`);
      }
      assert.ok(svg.includes(darkStyle));
      for (const [, font] of svg.matchAll(/font-family="([^"]+)"/g)) assert.match(font ?? '', /sans-serif$/);
    }
  });

  test('have bars that begin at zero and are as long as their medians', async () => {
    const svg = await svgOf('speed-throughput.svg');
    assert.match(svg, /X-axis titled 'MB\/s' for a linear scale with values from 0 to/);
    const [ours, theirs] = lengthsOf(svg);
    assert.ok(ours !== undefined && theirs !== undefined);
    assert.ok(Math.abs(theirs / ours - 2) < 0.01, `${theirs} by ${ours}`);
    for (const text of ['Throughput, MB/s', 'Backhaul', 'curl -T', '1,050', '2,100']) has(svg, text);
  });

  test('are logarithmic along an axis, and never zoom in on noise', async () => {
    const svg = await svgOf('growth-memory-by-agents.svg');
    assert.match(svg, /Y-axis for a log scale with values from 10 to 1,000/);
    assert.match(svg, /X-axis titled 'agents' for a log scale/);
    for (const text of ['By agents; both axes logarithmic', 'Memory, MB', '80.2', '81.7']) has(svg, text);
  });

  test('are linear, with a note, if a value is zero', async () => {
    const svg = await svgOf('growth-time-by-agents.svg');
    assert.match(svg, /Y-axis for a linear scale with values from 0 to/);
    has(svg, 'By agents; horizontal axis logarithmic');
    for (const text of ['Backhaul', 'other', '40', '90']) has(svg, text);
  });
});

function has(svg: string, text: string): void {
  assert.ok(svg.includes(`>${text}<`), `no "${text}" in ${svg}`);
}

/** Lengths of the bars, each a path from the left edge, which is zero. */
function lengthsOf(svg: string): number[] {
  const bars = svg.matchAll(/aria-roledescription="bar" d="M0,0h([\d.]+)v/g);
  return Array.from(bars, ([, length]) => Number(length));
}
