import { type Findings, isMet, type Requirement } from '../experiment.ts';
import { median } from '../quantile.ts';
import { type Comparison, comparisonsOf } from './comparison.ts';
import { figure, figureBeside, spread } from './figure.ts';
import { type Growth, growthsOf } from './growth.ts';

/** Renders an experiment's measurements in tables as wide as necessary. */
export function renderFindings({ measurements, requirements, notes }: Findings): string {
  return [
    ...comparisonsOf(measurements).map((comparison) => comparisonTable(comparison)),
    ...growthsOf(measurements).map((growth) => growthTable(growth)),
    ...(requirements.length === 0 ? [] : [requirements.map((one) => requirementLine(one)).join('\n')]),
    ...(notes.length === 0 ? [] : [notes.map((note) => `note    ${note}`).join('\n')]),
  ]
    .map((block) => block.replaceAll(/^/gm, '  '))
    .join('\n\n');
}

/** @returns One line: number of requirements met, and those missed. */
export function renderVerdict(requirements: readonly Requirement[]): string {
  if (requirements.length === 0) return 'No requirements';
  const missed = requirements.filter((requirement) => !isMet(requirement));
  const count = `${requirements.length - missed.length} of ${requirements.length} requirements met`;
  return missed.length === 0 ? count : `${count}; missed: ${missed.map(({ text }) => text).join('; ')}`;
}

export function limitText({ limit, unit }: Requirement): string {
  return 'atLeast' in limit
    ? `at least ${limit.atLeast.toLocaleString('en-GB')} ${unit}`
    : `at most ${limit.atMost.toLocaleString('en-GB')} ${unit}`;
}

export function measuredText({ measured, unit, limit }: Requirement): string {
  return `${figureBeside(measured, 'atLeast' in limit ? limit.atLeast : limit.atMost)} ${unit}`;
}

function requirementLine(requirement: Requirement): string {
  const verdict = isMet(requirement) ? 'met   ' : 'MISSED';
  return `${verdict}  ${requirement.text}: ${measuredText(requirement)} (${limitText(requirement)})`;
}

function comparisonTable({ quantity, unit, rows }: Comparison): string {
  const first = rows[0]?.subject ?? '';
  const compares = rows.some(({ ratio }) => ratio !== undefined);
  return alignedTable([
    [`${quantity}, ${unit}`, 'median', 'min – max', 'runs', ...(compares ? [`by ${first}`] : [])],
    ...rows.map(({ subject, samples, median, ratio }) => [
      subject,
      figure(median, samples),
      spread(samples),
      String(samples.length),
      ...(ratio === undefined ? [] : [ratio.toFixed(2)]),
    ]),
  ]);
}

function growthTable({ quantity, unit, axis, series }: Growth): string {
  return alignedTable([
    [`${quantity}, ${unit}`, axis, 'median', 'min – max', 'runs'],
    ...series.flatMap(({ subject, points }) =>
      points.map(({ at, samples }) => [
        subject,
        figure(at),
        figure(median(samples), samples),
        spread(samples),
        String(samples.length),
      ]),
    ),
  ]);
}

/** Aligns the first column as text, the others as numbers. */
function alignedTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('   '),
    )
    .join('\n');
}
