/**
 * Proves `docs/invariants.md`: breaks each line that keeps an invariant as the page says, and exits 1 unless the test
 * that it names was green before and turns red. All invariants that have mutations, or those whose numbers are given.
 *
 *     npm run test:mutations
 *     npm run test:mutations -- 3 5
 */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readInvariants } from './invariants-page.ts';
import { type Claim, type Verdict, proveMutations } from './prove-mutations.ts';

const root = join(import.meta.dirname, '..');

const claims = readInvariants(readFileSync(join(root, 'docs', 'invariants.md'), 'utf8')).flatMap(
  ({ number, keptBy }) =>
    keptBy.flatMap((kept) =>
      kept.mutations.map((mutation): Claim => ({ invariant: number, kept, mutation })),
    ),
);
const numbers = new Set(claims.map(({ invariant }) => String(invariant)));
const wanted = process.argv.slice(2);
const unknown = wanted.filter((number) => !numbers.has(number));
if (numbers.size === 0) {
  console.error('There is no mutation in docs/invariants.md.');
  process.exitCode = 1;
} else if (unknown.length > 0) {
  console.error(
    `No mutation of invariant ${unknown.join(', ')}. There are some of ${[...numbers].join(', ')}.`,
  );
  process.exitCode = 2;
} else {
  await prove(claims.filter(({ invariant }) => wanted.length === 0 || wanted.includes(String(invariant))));
}

async function prove(chosen: readonly Claim[]): Promise<void> {
  const startedAt = performance.now();
  const unproven: Verdict[] = [];
  console.log(
    row('', 'invariant', 'before', 'after', 'file', 'mutation, and the test that has to notice it'),
  );
  await proveMutations(root, chosen, (verdict) => {
    if (!verdict.proven) unproven.push(verdict);
    console.log(describe(verdict));
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(
    `\n${chosen.length} mutations, ${chosen.length - unproven.length} turned their test red, ${unproven.length} did not (${seconds} s)`,
  );
  if (unproven.length === 0) return;
  console.log(unproven.map(describe).join('\n'));
  process.exitCode = 1;
}

function describe({ claim, proven, before, after, said }: Verdict): string {
  const { kept, mutation, invariant } = claim;
  const replacement = mutation.replacement === '' ? 'nothing' : `\`${mutation.replacement}\``;
  const mark = proven ? '✔' : '✖';
  const change = `\`${kept.line}\` → ${replacement}`;
  const test = `“${mutation.test.name}” in ${basename(mutation.test.file)}`;
  return [
    row(mark, String(invariant), before, after, basename(kept.file), change),
    row('', '', '', '', '', test),
    ...(said === '' ? [] : [row('', '', '', '', '', said)]),
  ].join('\n');
}

function row(
  mark: string,
  invariant: string,
  before: string,
  after: string,
  file: string,
  what: string,
): string {
  return `${mark.padEnd(1)} ${invariant.padEnd(9)} ${before.padEnd(11)} ${after.padEnd(11)} ${file.padEnd(22)} ${what}`;
}
