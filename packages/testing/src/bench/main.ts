import { temporaryDirectory } from '../temporary-directory.ts';
import { buildPrograms } from './build-programs.ts';
import { type Findings, isMet } from './experiment.ts';
import { experiments } from './experiments.ts';
import { quantile } from './quantile.ts';

class Interrupted extends Error {}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<void> {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => stopping.abort(new Interrupted(name)));
  }
  const quick = process.argv.includes('--quick');
  const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
  await buildPrograms(stopping);
  for (const experiment of experiments) {
    if (wanted.length > 0 && !wanted.includes(experiment.name)) continue;
    say(`\n${experiment.title}`);
    await using directory = await temporaryDirectory();
    print(await experiment.run({ quick, directory, say, signal: stopping.signal }));
  }
}

function print({ measurements, requirements, notes }: Findings): void {
  for (const { quantity, subject, at, samples, unit } of measurements) {
    const place = at === undefined ? '' : ` at ${at.value} ${at.axis}`;
    say(`${quantity} of ${subject}${place}: ${quantile(samples, 0.5).toPrecision(4)} ${unit}`);
  }
  for (const requirement of requirements) {
    say(
      `${isMet(requirement) ? 'met   ' : 'MISSED'} ${requirement.text}: ${requirement.measured} ${requirement.unit}`,
    );
  }
  for (const note of notes) say(note);
}

await main();
