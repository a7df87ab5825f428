import type { AuditOutcome, CommandName, CommandProgress, UploadStatus } from '@backhaul/protocol';

export interface CallOptions {
  /** Aborts the request; the method throws its reason. Work that the server has started continues. */
  readonly signal?: AbortSignal | undefined;
}

export interface TriggerOptions extends CallOptions {
  /**
   * Repeated requests with the same key start only one upload; the same key with a different request is refused with
   * `idempotency_conflict`. 1 to 255 visible ASCII characters.
   */
  readonly idempotencyKey?: string | undefined;
  /** Asks the server to respond only when the upload has ended, or after this many seconds, 1 to 300. */
  readonly waitSeconds?: number | undefined;
}

export interface CommandOptions<Name extends CommandName> extends CallOptions {
  /** Called about once a second while a command that reports progress runs. */
  readonly onProgress?: ((progress: CommandProgress<Name>) => void) | undefined;
}

export interface UploadFilter {
  readonly client_id?: string | undefined;
  readonly status?: UploadStatus | undefined;
}

export interface ClientFilter {
  readonly connected?: boolean | undefined;
  /** `name=value`; several must all match (servers of release 0.1.0 accept only one). */
  readonly label?: string | readonly string[] | undefined;
}

export interface AuditFilter {
  readonly client_id?: string | undefined;
  /** Subject of the token. */
  readonly actor?: string | undefined;
  /** Action, such as `upload.trigger`. */
  readonly action?: string | undefined;
  /** Earlier servers reject it, because they record only accepted requests. */
  readonly outcome?: AuditOutcome | undefined;
  /** Start time, ISO 8601 in UTC, inclusive. */
  readonly since?: string | undefined;
  /** End time, ISO 8601 in UTC, exclusive. */
  readonly until?: string | undefined;
}

export interface PageOptions {
  /** Records per page, 1 to 500. Default: 50. */
  readonly limit?: number | undefined;
  /** `next_cursor` of the previous page. */
  readonly cursor?: string | undefined;
}
