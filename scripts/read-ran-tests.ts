import { readFileSync } from 'node:fs';
import type { RanTests } from './ran-tests-reporter.ts';

/** A runner that was killed leaves no report: then nothing is known to have run. */
export function readRanTests(report: string): RanTests {
  try {
    return JSON.parse(readFileSync(report, 'utf8')) as RanTests;
  } catch {
    return { tests: [], filesWithoutTests: [] };
  }
}
