import { temporaryDirectory } from '../harness/temporary-directory.ts';
import { help, parseSoakOptions, type SoakOptions } from './options.ts';
import { renderReport } from './report.ts';
import { soak } from './soak.ts';

class Interrupted extends Error {}

/** @returns whether all checks passed. The directory stays if they did not. */
async function run(options: SoakOptions, signal: AbortSignal): Promise<boolean> {
  const directory = await temporaryDirectory();
  let isKept = true;
  try {
    say(`Soak of ${options.minutes} minutes with ${options.agents} agents, seed ${options.seed}`);
    const results = await soak(options, { directory, say, signal });
    say(renderReport(options, results));
    isKept = results.wrong.length > 0;
    return !isKept;
  } catch (error) {
    if (error instanceof Interrupted) isKept = false;
    throw error;
  } finally {
    if (isKept) say(`The logs, the database and what was stored are kept in ${directory.path}`);
    else await directory[Symbol.asyncDispose]();
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(): Promise<void> {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => stopping.abort(new Interrupted(name)));
  }
  try {
    const options = parseSoakOptions(process.argv.slice(2));
    if (options === undefined) say(help);
    else if (!(await run(options, stopping.signal))) process.exitCode = 1;
  } catch (error) {
    process.exitCode = error instanceof Interrupted ? 130 : 1;
    if (error instanceof Interrupted) return;
    const causes = error instanceof AggregateError ? error.errors.map((cause) => `\n  ${String(cause)}`) : [];
    process.stderr.write(
      `soak: ${error instanceof Error ? error.message : String(error)}${causes.join('')}\n`,
    );
  }
}

await main();
