import type { ChangePolicy } from '@backhaul/protocol';
import type { SoakFile } from './soak-file.ts';

/** Requested path: a file, or something that the agent has to refuse. */
export type Wanted =
  | { readonly kind: 'file'; readonly path: string; readonly file: SoakFile }
  | { readonly kind: 'file_not_found' | 'path_not_allowed'; readonly path: string };

/** One upload and the requests about it. Times are milliseconds since the epoch. */
export interface Pull {
  readonly uploadId: string;
  readonly clientId: string;
  readonly wanted: Wanted;
  readonly policy: ChangePolicy;
  /** Time of the trigger or last retry: no older version of the file may be delivered. */
  askedAt: number;
  /** Since `askedAt`. */
  cancelAsked: boolean;
  /** Since the trigger. */
  retries: number;
  /** The operator has deleted it with its object. */
  removed: boolean;
}
