import { readFile, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { CheckoutCopy } from './checkout-copy.ts';
import type { KeepingLine, Mutation } from './invariants-page.ts';
import type { NamedTest } from './named-test.ts';
import type { RanTest } from './ran-tests-reporter.ts';
import { runNamedTests } from './run-named-tests.ts';

/** Number of parallel runs. End-to-end tests compete for the processor; with more, their deadlines pass. */
const AT_ONCE = 2;

/** A line, one mutation of it, and the test that has to fail then. */
export interface Claim {
  readonly invariant: number;
  readonly kept: Pick<KeepingLine, 'file' | 'line'>;
  readonly mutation: Mutation;
}

export interface MutationResult {
  readonly claim: Claim;
  readonly proven: boolean;
  /** `green`, or what is wrong. */
  readonly before: string;
  /** `red`, or what is wrong. */
  readonly after: string;
  /** The test's failure with the broken line. */
  readonly failureMessage: string;
}

/** Claims that one run of the test runner checks: the same test file with the same mutation. */
interface Run {
  readonly testFile: string;
  readonly claims: readonly [Claim, ...Claim[]];
}

/**
 * Runs each test with the original code, and again with its line broken, in copies that run their own sources.
 *
 * @param report Called for each result as soon as it is known, in no particular order.
 */
export async function proveMutations(
  checkout: string,
  claims: readonly Claim[],
  report: (result: MutationResult) => void,
): Promise<void> {
  await using copies = new AsyncDisposableStack();
  const checkouts = [];
  for (let index = 0; index < AT_ONCE; index += 1)
    checkouts.push(copies.use(await CheckoutCopy.of(checkout)));

  const before = new Map<string, readonly RanTest[]>();
  const testFiles = group(claims, ({ mutation }) => mutation.test.file);
  await distribute(checkouts, testFiles, async ({ root }, { testFile, claims: all }) => {
    before.set(testFile, await runNamedTests(root, testFile, namesOf(all)));
  });

  const broken = group(claims, ({ kept, mutation }) =>
    JSON.stringify([kept.file, kept.line, mutation.replacement, mutation.test.file]),
  );
  await distribute(checkouts, broken, async ({ root }, run) => {
    const after = await runBroken(root, run);
    for (const claim of run.claims) {
      report(judge(claim, before.get(run.testFile) ?? [], after));
    }
  });
}

/** @returns The tests that ran, or the reason why none could run. */
async function runBroken(root: string, { testFile, claims }: Run): Promise<readonly RanTest[] | string> {
  const { kept, mutation } = claims[0];
  const file = join(root, kept.file);
  const text = await readFile(file, 'utf8');
  const pieces = text.split(kept.line);
  if (pieces.length !== 2) return `the line occurs ${pieces.length - 1} times`;
  const mutated = pieces.join(mutation.replacement);
  if (!isCode(mutated)) return 'the mutation is not valid code';
  await writeFile(file, mutated);
  try {
    return await runNamedTests(root, testFile, namesOf(claims));
  } finally {
    await writeFile(file, text);
  }
}

/** Code that cannot be parsed would make every test fail. */
function isCode(text: string): boolean {
  try {
    stripTypeScriptTypes(text);
    return true;
  } catch {
    return false;
  }
}

function judge(
  claim: Claim,
  ranBefore: readonly RanTest[],
  ranAfter: readonly RanTest[] | string,
): MutationResult {
  const { test } = claim.mutation;
  const before = whole(test, ranBefore);
  const { after, failureMessage } =
    typeof ranAfter === 'string' ? { after: ranAfter, failureMessage: '' } : broken(test, ranAfter);
  return { claim, proven: before === 'green' && after === 'red', before, after, failureMessage };
}

function whole({ name }: NamedTest, ran: readonly RanTest[]): string {
  const named = ran.filter((test) => test.name === name);
  if (named.length === 0) return 'did not run';
  const failure = named.find((test) => test.failure !== undefined)?.failure;
  return failure === undefined ? 'green' : `fails unbroken: ${failure.message}`;
}

/** A mutation that breaks more than intended proves nothing: the test itself has to fail. */
function broken({ name }: NamedTest, ran: readonly RanTest[]): { after: string; failureMessage: string } {
  const named = ran.filter((test) => test.name === name);
  if (named.length === 0) return { after: 'did not run', failureMessage: '' };
  const failures = named.flatMap(({ failure }) => (failure === undefined ? [] : [failure]));
  const [first] = failures;
  if (first === undefined) return { after: 'SURVIVED', failureMessage: '' };
  const found = failures.find(
    ({ type, error }) => type === 'testCodeFailure' && error !== 'ReferenceError' && error !== 'SyntaxError',
  );
  const { error, message } = found ?? first;
  return { after: found === undefined ? 'other failure' : 'red', failureMessage: `${error}: ${message}` };
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

/** Each worker takes the next item as soon as it has finished the previous one. */
async function distribute<Worker, Item>(
  workers: readonly Worker[],
  items: readonly Item[],
  work: (worker: Worker, item: Item) => Promise<void>,
): Promise<void> {
  const remaining = items.values();
  await Promise.all(
    workers.map(async (worker) => {
      for (const item of remaining) await work(worker, item);
    }),
  );
}
