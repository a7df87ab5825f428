import type { UploadRecord } from '@backhaul/protocol';
import type { PullView } from './pull-view.ts';

/** Each version of the record as one line of JSON, and nothing else: the last line is the last record. */
export class JsonView implements PullView {
  readonly #value: (value: unknown) => void;
  #version = 0;

  constructor(value: (value: unknown) => void) {
    this.#value = value;
  }

  show(record: UploadRecord): void {
    // Again for bytes on their way, which come and go: they are for people who watch.
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
    // Each line is finished as it is written.
  }
}
