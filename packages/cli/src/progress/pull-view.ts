import type { UploadRecord } from '@backhaul/protocol';

/** Shows a pull as it goes. */
export interface PullView {
  /** The pull's record has changed. */
  show(record: UploadRecord): void;
  /** Bytes of the finished object fetched so far. */
  showSaving(doneBytes: number, totalBytes: number): void;
  /** The same, where they are read to be compared only. */
  showChecking(doneBytes: number, totalBytes: number): void;
  /** Something that the record does not say, such as a lost connection. */
  notice(text: string): void;
  /** Leaves the terminal as it was found. Idempotent. */
  close(): void;
}
