import type { UploadRecord } from '@backhaul/protocol';

/** Shows the progress of an upload and of the download that follows it. */
export interface ProgressView {
  /** Shows a changed record of the upload. */
  show(record: UploadRecord): void;
  /** Shows how much of the finished object has been downloaded. */
  showSaving(doneBytes: number, totalBytes: number): void;
  /** The same, while the object is read only to compare it. */
  showChecking(doneBytes: number, totalBytes: number): void;
  /** Shows a message that is not part of the record, such as a lost connection. */
  notice(text: string): void;
  /** Restores the terminal. Idempotent. */
  close(): void;
}
