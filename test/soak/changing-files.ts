import { setTimeout as sleep } from 'node:timers/promises';
import type { Journal } from './journal.ts';
import type { SoakFile } from './soak-file.ts';
import type { Tally } from './tally.ts';

const LONGEST_PAUSE_MS = 1800;
const MOST_APPENDED_BYTES = 1024 * 1024;
/** The next change of a larger file makes it small. */
const MOST_BYTES = 64 * 1024 * 1024;

/** Changes one file after another until the signal, as a machine at work does. */
export async function keepChanging(
  files: readonly SoakFile[],
  options: { random: () => number; journal: Journal; changes: Tally; signal: AbortSignal },
): Promise<void> {
  const { random, journal, changes, signal } = options;
  for (;;) {
    await sleep(random() * LONGEST_PAUSE_MS, undefined, { signal });
    const file = files[Math.floor(random() * files.length)];
    if (file === undefined) return;
    const { kind, apply } = chooseChange(file, random);
    await apply();
    changes.add(kind);
    journal.note(`${kind} ${file.path}: ${file.sizeBytes} bytes`);
  }
}

function chooseChange(file: SoakFile, random: () => number): { kind: string; apply: () => Promise<void> } {
  const what = random();
  const amount = random();
  const replace = () => file.replace(Math.floor(amount * (MOST_BYTES / 2)));
  if (file.sizeBytes > MOST_BYTES) return { kind: 'replace', apply: replace };
  if (what < 0.4) {
    return { kind: 'append', apply: () => file.append(1 + Math.floor(amount * MOST_APPENDED_BYTES)) };
  }
  if (what < 0.55) return { kind: 'rewrite', apply: () => file.rewrite() };
  if (what < 0.7) return { kind: 'replace', apply: replace };
  if (what < 0.75) return { kind: 'truncate', apply: () => file.truncate(0.3 + amount / 2) };
  return { kind: 'chmod', apply: () => file.chmod(amount < 0.5 ? 0o600 : 0o644) };
}
