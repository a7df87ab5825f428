import { readFile, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { CheckoutCopy } from './checkout-copy.ts';
import type { KeepingLine, Mutation } from './invariants-page.ts';
import type { NamedTest } from './named-test.ts';
import type { RanTest } from './ran-tests-reporter.ts';
import { runNamedTests } from './run-named-tests.ts';

/** End-to-end tests wait for one another's processes; more at once only make their deadlines pass. */
const AT_ONCE = 2;

/** A line, broken in one way, and the test that has to notice it. */
export interface Claim {
  readonly invariant: number;
  readonly kept: Pick<KeepingLine, 'file' | 'line'>;
  readonly mutation: Mutation;
}

export interface Verdict {
  readonly claim: Claim;
  readonly proven: boolean;
  /** `green`, or what is wrong. */
  readonly before: string;
  /** `red`, or what is wrong. */
  readonly after: string;
  /** What the test said of the broken line. */
  readonly said: string;
}

/** Claims that one run of the test runner decides: the same test file, broken in the same way. */
interface Run {
  readonly testFile: string;
  readonly claims: readonly [Claim, ...Claim[]];
}

/**
 * Runs each test as the checkout is, and again with its line broken, in copies that run their own sources.
 *
 * @param report Called as soon as a claim is decided, in no particular order.
 */
export async function proveMutations(
  checkout: string,
  claims: readonly Claim[],
  report: (verdict: Verdict) => void,
): Promise<void> {
  await using copies = new AsyncDisposableStack();
  const places = [];
  for (let index = 0; index < AT_ONCE; index += 1) places.push(copies.use(await CheckoutCopy.of(checkout)));

  const before = new Map<string, readonly RanTest[]>();
  const testFiles = group(claims, ({ mutation }) => mutation.test.file);
  await shareOut(places, testFiles, async ({ root }, { testFile, claims: all }) => {
    before.set(testFile, await runNamedTests(root, testFile, namesOf(all)));
  });

  const broken = group(claims, ({ kept, mutation }) =>
    JSON.stringify([kept.file, kept.line, mutation.replacement, mutation.test.file]),
  );
  await shareOut(places, broken, async ({ root }, run) => {
    const after = await runBroken(root, run);
    for (const claim of run.claims) {
      report(judge(claim, before.get(run.testFile) ?? [], after));
    }
  });
}

/** @returns what ran, or why nothing could. */
async function runBroken(root: string, { testFile, claims }: Run): Promise<readonly RanTest[] | string> {
  const { kept, mutation } = claims[0];
  const file = join(root, kept.file);
  const text = await readFile(file, 'utf8');
  const parts = text.split(kept.line);
  if (parts.length !== 2) return `the line is there ${parts.length - 1} times`;
  const mutated = parts.join(mutation.replacement);
  if (!isCode(mutated)) return 'the mutation is no code';
  await writeFile(file, mutated);
  try {
    return await runNamedTests(root, testFile, namesOf(claims));
  } finally {
    await writeFile(file, text);
  }
}

/** A program that cannot be started turns every test of it red. */
function isCode(text: string): boolean {
  try {
    stripTypeScriptTypes(text);
    return true;
  } catch {
    return false;
  }
}

function judge(claim: Claim, ranBefore: readonly RanTest[], ranAfter: readonly RanTest[] | string): Verdict {
  const { test } = claim.mutation;
  const before = whole(test, ranBefore);
  const { after, said } =
    typeof ranAfter === 'string' ? { after: ranAfter, said: '' } : broken(test, ranAfter);
  return { claim, proven: before === 'green' && after === 'red', before, after, said };
}

function whole({ name }: NamedTest, ran: readonly RanTest[]): string {
  const named = ran.filter((test) => test.name === name);
  if (named.length === 0) return 'did not run';
  const failure = named.find((test) => test.failure !== undefined)?.failure;
  return failure === undefined ? 'green' : `fails unbroken: ${failure.message}`;
}

/** A mutation that breaks more than it says proves nothing: the test itself has to have found it. */
function broken({ name }: NamedTest, ran: readonly RanTest[]): { after: string; said: string } {
  const named = ran.filter((test) => test.name === name);
  if (named.length === 0) return { after: 'did not run', said: '' };
  const failures = named.flatMap(({ failure }) => (failure === undefined ? [] : [failure]));
  const [first] = failures;
  if (first === undefined) return { after: 'SURVIVED', said: '' };
  const found = failures.find(
    ({ type, error }) => type === 'testCodeFailure' && error !== 'ReferenceError' && error !== 'SyntaxError',
  );
  const { error, message } = found ?? first;
  return { after: found === undefined ? 'broke otherwise' : 'red', said: `${error}: ${message}` };
}

function namesOf(claims: readonly Claim[]): readonly string[] {
  return [...new Set(claims.map(({ mutation }) => mutation.test.name))];
}

function group(claims: readonly Claim[], keyOf: (claim: Claim) => string): readonly Run[] {
  const runs = new Map<string, { testFile: string; claims: [Claim, ...Claim[]] }>();
  for (const claim of claims) {
    const run = runs.get(keyOf(claim));
    if (run === undefined) runs.set(keyOf(claim), { testFile: claim.mutation.test.file, claims: [claim] });
    else run.claims.push(claim);
  }
  return [...runs.values()];
}

/** Each place takes the next item as soon as it is done with its last one. */
async function shareOut<Place, Item>(
  places: readonly Place[],
  items: readonly Item[],
  work: (place: Place, item: Item) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  await Promise.all(
    places.map(async (place) => {
      for (const item of rest) await work(place, item);
    }),
  );
}
