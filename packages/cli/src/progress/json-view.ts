import type { UploadRecord } from '@backhaul/protocol';
import type { ProgressView } from './progress-view.ts';

/** Prints each version of the record as one line of JSON and nothing else: the last line is the final record. */
export class JsonView implements ProgressView {
  readonly #value: (value: unknown) => void;
  #version = 0;

  constructor(value: (value: unknown) => void) {
    this.#value = value;
  }

  show(record: UploadRecord): void {
    // Bytes in flight change without a new version; they are shown only to people.
    if (record.version === this.#version) return;
    this.#version = record.version;
    this.#value(record);
  }

  showSaving(): void {
    // Not a record.
  }

  showChecking(): void {
    // Not a record.
  }

  notice(): void {
    // Not a record.
  }

  close(): void {
    // Nothing to finish: every line is complete when written.
  }
}
