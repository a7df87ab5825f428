import { appendFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Exit } from '../harness/program.ts';

/** Records actions, their results, and the programs' output for later analysis. */
export class Journal {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  note(text: string): void {
    appendFileSync(path.join(this.directory, 'soak.log'), `${new Date().toISOString()} ${text}\n`);
  }

  /** Stores all output of a process that has ended. */
  keepOutput(name: string, { stdout, stderr, code, signal }: Exit): void {
    appendFileSync(
      path.join(this.directory, `${name}.log`),
      `${stdout}${stderr}--- ended with ${code ?? signal}\n`,
    );
  }
}
