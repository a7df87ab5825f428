import { type UploadRecord, isTerminal } from '@backhaul/protocol';
import type { Journal } from './journal.ts';
import type { Pull } from './pull.ts';
import { Tally } from './tally.ts';

/** Results of a soak so far. */
export class Results {
  /** Uploads by id. */
  readonly pulls = new Map<string, Pull>();
  /** Final outcomes of uploads, by status or error. */
  readonly outcomes = new Tally();
  readonly faults = new Tally();
  /** Store calls that met a temporary fault. */
  readonly hitCalls = new Tally();
  /** File changes. */
  readonly changes = new Tally();
  /** Requests to the server. */
  readonly requests = new Tally();
  /** Durations of completed uploads from trigger or retry to the end. */
  readonly durationsMs: number[] = [];
  readonly wrong: string[] = [];
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  wrongOutcome(what: string): void {
    this.wrong.push(what);
    this.#journal.note(`WRONG ${what}`);
  }

  ended(pull: Pull, record: UploadRecord): void {
    if (!isTerminal(record.status)) throw new Error(`${record.upload_id} is still ${record.status}`);
    this.outcomes.add(record.status === 'failed' ? (record.error ?? 'failed') : record.status);
    if (record.status === 'completed' && record.completed_at !== null) {
      this.durationsMs.push(Date.parse(record.completed_at) - pull.askedAt);
    }
  }
}
