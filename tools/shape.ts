/**
 * Prints the shape of the product's sources (`packages/NAME/src` without tests), in total and by package.
 *
 *     npm run shape
 *     npm run shape -- --list         also the files that stand out
 *     npm run shape -- ../checkout    of another checkout
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { importCircles, readSources, type Source } from './source-graph.ts';

const SMALL = 50;
const PRIVATE_HELPER = 60;
const LARGE = 400;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: 'boolean', default: false } },
});
const checkout = resolve(positionals[0] ?? join(import.meta.dirname, '..'));

const sources = readSources(checkout);
const product = sources.filter(({ isReached }) => isReached);
const support = sources.filter(({ isReached }) => !isReached);
const functions = longestFunctions(product);

console.log('package'.padEnd(14), '  files  lines median  <50 private >400 function exports');
for (const name of [undefined, ...new Set(product.map((source) => source.package))]) {
  const chosen = product.filter((source) => name === undefined || source.package === name);
  console.log((name ?? 'all').padEnd(14), row(chosen));
}
const circles = importCircles(product, 'loads').length;
const typeCircles = importCircles(product, 'imports').length - circles;
console.log(
  `\ntest support in src: ${support.length} files; import circles: ${circles}, and ${typeCircles} of types only`,
);
if (values.list) list();

/** Columns as in the heading: `private` are small files that one other file imports, `function` is the longest one. */
function row(chosen: readonly Source[]): string {
  const share = (some: readonly Source[]) => `${Math.round((100 * some.length) / chosen.length)}%`;
  const longest = Math.max(0, ...chosen.map(({ file }) => functions.get(file) ?? 0));
  return [
    String(chosen.length).padStart(7),
    String(sum(chosen.map(({ lines }) => lines))).padStart(6),
    String(median(chosen.map(({ lines }) => lines))).padStart(6),
    share(chosen.filter(isSmall)).padStart(4),
    share(chosen.filter(isPrivateHelper)).padStart(7),
    String(chosen.filter(({ lines }) => lines > LARGE).length).padStart(4),
    String(longest).padStart(8),
    String(median(chosen.map((source) => source.exports))).padStart(7),
  ].join(' ');
}

function isSmall({ lines }: Source): boolean {
  return lines < SMALL;
}

function isPrivateHelper({ lines, importers }: Source): boolean {
  return lines <= PRIVATE_HELPER && importers.length === 1;
}

function list(): void {
  const print = (title: string, lines: readonly string[]) =>
    console.log(`\n${title}\n${lines.map((line) => `  ${line}`).join('\n')}`);
  const named = (some: readonly Source[]) => some.map(({ file, lines }) => `${lines} ${file}`);
  print(
    `small files that one other file imports (at most ${PRIVATE_HELPER} lines)`,
    product
      .filter(isPrivateHelper)
      .map(({ file, lines, importers }) => `${lines} ${file} ← ${importers.join()}`),
  );
  print(`over ${LARGE} lines`, named(product.filter(({ lines }) => lines > LARGE)));
  const long = [...functions].filter(([, lines]) => lines > 80).toSorted(([, a], [, b]) => b - a);
  print(
    'functions over 80 lines',
    long.map(([file, lines]) => `${lines} ${file}`),
  );
  print('test support in src', named(support));
  print(
    'import circles, with those of types',
    importCircles(product, 'imports').map((files) => files.join(' → ')),
  );
}

/** Length of the longest function of each file, as the linter counts them. */
function longestFunctions(of: readonly Source[]): ReadonlyMap<string, number> {
  const folder = mkdtempSync(join(tmpdir(), 'backhaul-shape-'));
  try {
    const config = join(folder, 'oxlintrc.json');
    const rules = { 'max-lines-per-function': ['error', { max: 1 }] };
    writeFileSync(config, JSON.stringify({ categories: { correctness: 'off' }, rules }));
    const linter = join(import.meta.dirname, '..', 'node_modules', 'oxlint', 'bin', 'oxlint');
    const args = [linter, '--config', config, '--format=json', ...of.map(({ file }) => file)];
    const { stdout } = spawnSync(process.execPath, args, {
      cwd: checkout,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: { filename: string; message: string }[] };
    const longest = new Map<string, number>();
    for (const { filename, message } of diagnostics) {
      const lines = Number(/\((\d+)\)/.exec(message)?.[1] ?? 0);
      const file = posix.normalize(filename);
      longest.set(file, Math.max(longest.get(file) ?? 0, lines));
    }
    return longest;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
