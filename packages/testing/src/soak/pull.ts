import type { ChangePolicy } from '@backhaul/protocol';
import type { SoakFile } from './soak-file.ts';

/** What is pulled: a file, or something that the agent has to refuse. */
export type Wanted =
  | { readonly kind: 'file'; readonly path: string; readonly file: SoakFile }
  | { readonly kind: 'file_not_found' | 'path_not_allowed'; readonly path: string };

/** One upload, and what was asked of it. Times are milliseconds since the epoch. */
export interface Pull {
  readonly uploadId: string;
  readonly clientId: string;
  readonly wanted: Wanted;
  readonly policy: ChangePolicy;
  /** When it was triggered, or last retried: no older version of its file may be delivered. */
  askedAt: number;
  /** Since then. */
  cancelAsked: boolean;
  /** Since it was triggered. */
  retries: number;
  /** By the operator's wish, with its object. */
  removed: boolean;
}
