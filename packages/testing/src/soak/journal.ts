import { appendFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Exit } from '../program.ts';

/** What was done and what came of it, line by line, and what the programs said: for who has to find out why. */
export class Journal {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  note(text: string): void {
    appendFileSync(path.join(this.directory, 'soak.log'), `${new Date().toISOString()} ${text}\n`);
  }

  /** All output of a process that has ended. */
  keepOutput(name: string, { stdout, stderr, code, signal }: Exit): void {
    appendFileSync(
      path.join(this.directory, `${name}.log`),
      `${stdout}${stderr}--- ended with ${code ?? signal}\n`,
    );
  }
}
