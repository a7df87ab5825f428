/**
 * Checks the sources without running them. Runs all steps, or those named, and exits with 1 if one failed.
 *
 *     npm run check
 *     npm run check -- lint types
 */
import { join } from 'node:path';
import { checkSteps, runCheck } from './check-steps.ts';

const root = join(import.meta.dirname, '..');
const names = checkSteps.map((step) => step.name);

const requested = process.argv.slice(2);
const unknown = requested.filter((name) => !names.some((one) => one === name));
if (unknown.length > 0) {
  console.error(`Unknown check: ${unknown.join(', ')}. Available: ${names.join(', ')}.`);
  process.exit(2);
}

let failed = 0;
for (const step of checkSteps) {
  if (requested.length > 0 && !requested.includes(step.name)) continue;
  const { passed, durationMs, output } = await runCheck(step, root);
  console.log(`${passed ? '✔' : '✖'} ${step.name} (${(durationMs / 1000).toFixed(1)} s)`);
  if (passed) continue;
  failed += 1;
  console.log(`${output.replaceAll(/^/gm, '  ')}\n  ${step.advice}\n`);
}
if (failed > 0) process.exitCode = 1;
