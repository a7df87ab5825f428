/**
 * Proves `docs/invariants.md`: applies each mutation of the page, and exits with 1 unless the named test passes before
 * and fails after. Runs all mutations, or those of the invariants whose numbers are given.
 *
 *     npm run test:mutations
 *     npm run test:mutations -- 3 5
 */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readInvariants } from './invariants-page.ts';
import { type Claim, type MutationResult, proveMutations } from './prove-mutations.ts';

const root = join(import.meta.dirname, '..');

const claims = readInvariants(readFileSync(join(root, 'docs', 'invariants.md'), 'utf8')).flatMap(
  ({ number, keptBy }) =>
    keptBy.flatMap((kept) =>
      kept.mutations.map((mutation): Claim => ({ invariant: number, kept, mutation })),
    ),
);
const numbers = new Set(claims.map(({ invariant }) => String(invariant)));
const requested = process.argv.slice(2);
const unknown = requested.filter((number) => !numbers.has(number));
if (numbers.size === 0) {
  console.error('docs/invariants.md has no mutation.');
  process.exitCode = 1;
} else if (unknown.length > 0) {
  console.error(
    `No mutation of invariant ${unknown.join(', ')}. Invariants with mutations: ${[...numbers].join(', ')}.`,
  );
  process.exitCode = 2;
} else {
  await prove(
    claims.filter(({ invariant }) => requested.length === 0 || requested.includes(String(invariant))),
  );
}

async function prove(chosen: readonly Claim[]): Promise<void> {
  const startedAt = performance.now();
  const unproven: MutationResult[] = [];
  console.log(row('', 'invariant', 'before', 'after', 'file', 'mutation, and the test that has to fail'));
  await proveMutations(root, chosen, (result) => {
    if (!result.proven) unproven.push(result);
    console.log(describe(result));
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(
    `\n${chosen.length} mutations, ${chosen.length - unproven.length} made their test fail, ${unproven.length} did not (${seconds} s)`,
  );
  if (unproven.length === 0) return;
  console.log(unproven.map(describe).join('\n'));
  process.exitCode = 1;
}

function describe({ claim, proven, before, after, failureMessage }: MutationResult): string {
  const { kept, mutation, invariant } = claim;
  const replacement = mutation.replacement === '' ? 'nothing' : `\`${mutation.replacement}\``;
  const mark = proven ? '✔' : '✖';
  const change = `\`${kept.line}\` → ${replacement}`;
  const test = `“${mutation.test.name}” in ${basename(mutation.test.file)}`;
  return [
    row(mark, String(invariant), before, after, basename(kept.file), change),
    row('', '', '', '', '', test),
    ...(failureMessage === '' ? [] : [row('', '', '', '', '', failureMessage)]),
  ].join('\n');
}

function row(
  mark: string,
  invariant: string,
  before: string,
  after: string,
  file: string,
  detail: string,
): string {
  return `${mark.padEnd(1)} ${invariant.padEnd(9)} ${before.padEnd(11)} ${after.padEnd(11)} ${file.padEnd(22)} ${detail}`;
}
