import { type UploadRecord, isTerminal } from '@backhaul/protocol';
import type { Journal } from './journal.ts';
import type { Pull } from './pull.ts';
import { Tally } from './tally.ts';

/** What is found out in the course of a soak. */
export class Results {
  /** By upload. */
  readonly pulls = new Map<string, Pull>();
  /** By status or error, of uploads that nothing more is asked of. */
  readonly outcomes = new Tally();
  readonly faults = new Tally();
  /** Of the store, by a fault that passes. */
  readonly hitCalls = new Tally();
  /** Of files. */
  readonly changes = new Tally();
  /** What was asked of the server. */
  readonly requests = new Tally();
  /** Of completed ones, from trigger or retry to end. */
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
