import { readFileSync } from 'node:fs';
import type { RanTests } from './ran-tests-reporter.ts';

/** Reads the report. A killed runner leaves none; the result then has no tests. */
export function readRanTests(report: string): RanTests {
  try {
    return JSON.parse(readFileSync(report, 'utf8')) as RanTests;
  } catch {
    return { tests: [], filesWithoutTests: [] };
  }
}
