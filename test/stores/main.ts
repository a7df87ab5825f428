/**
 * Runs the product on real stores with their default configuration; prints a table for docs/reliability.md.
 *
 *     npm run test:stores                      all of them; the first run builds two of them, for some minutes
 *     npm run test:stores -- moto s3proxy      some of them
 *     npm run test:stores -- --tools DIR moto  installs into DIR, by default a folder of the cache
 */
import { execFileSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { realStores } from './real-stores.ts';
import { installTool } from './running-store.ts';
import { type TrialResult, renderTrials, trialNames } from './trial-results.ts';
import { tryStore } from './try-store.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tools: { type: 'string', default: join(homedir(), '.cache', 'backhaul-stores') } },
});
const unknown = positionals.filter((name) => !realStores.some((store) => store.name === name));
if (unknown.length > 0) {
  process.stderr.write(
    `There is no ${unknown.join(', ')}; stores are ${realStores.map(({ name }) => name).join(', ')}.\n`,
  );
  process.exitCode = 2;
} else {
  await tryStores(
    positionals.length === 0 ? realStores : realStores.filter(({ name }) => positionals.includes(name)),
  );
}

async function tryStores(stores: typeof realStores): Promise<void> {
  await installTool('aws-cli', values.tools);
  const results = new Map<string, readonly TrialResult[]>();
  for (const store of stores) {
    process.stdout.write(`${store.version} …\n`);
    const found: TrialResult[] = [];
    const report = (result: TrialResult): void => {
      found.push(result);
      process.stdout.write(`  ${result.outcome}  ${result.name}  ${result.detail}\n`);
    };
    await tryStore(store, values.tools, report).catch((error: unknown) => {
      report({
        name: trialNames[found.length] ?? 'start',
        outcome: 'failed',
        detail: error instanceof Error ? error.message : String(error),
      });
    });
    results.set(store.version, found);
  }
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const date = new Date().toISOString().slice(0, 10);
  process.stdout.write(`\nCommit ${commit}, ${date}\n\n${renderTrials(results)}\n`);
  const failed = [...results.values()].flat().some(({ outcome }) => outcome === 'failed');
  if (failed) process.exitCode = 1;
}
