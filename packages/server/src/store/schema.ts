import type { Generated } from 'kysely';
import type { ClientBlock } from '../domain/agents/client.ts';
import type { ChainedToken } from '../domain/agents/token-chain.ts';
import type { Upload, UploadPart } from '../domain/uploads/upload.ts';

/**
 * The tables, in camelCase: kysely's CamelCasePlugin is the only code that converts names to snake_case. Times are
 * integer milliseconds; JSON is text; booleans are 0 and 1.
 */
export interface Schema {
  clients: ClientsTable & { readonly limits: Generated<string | null> };
  uploads: UploadsTable & { readonly change: Generated<number> };
  changeCounter: ChangeCounterTable;
  clockRecord: ClockRecordTable;
  firstTimes: FirstTimesTable;
  uploadKeys: UploadKeysTable;
  uploadParts: UploadPart & { readonly uploadId: string };
  sessions: SessionsTable;
  blockedClients: BlockedClientsTable;
  chainedTokens: ChainedToken;
  nodes: { readonly nodeId: string; readonly leaseUntil: number };
  auditEvents: AuditEventsTable;
  outbox: OutboxTable;
}

export interface ClientsTable {
  readonly clientId: string;
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  readonly agentVersion: string;
  readonly os: string;
  readonly arch: string;
  readonly hostname: string | null;
  readonly capabilities: string;
  readonly labels: string;
  readonly defaultFilePath: string | null;
}

export type UploadsTable = Omit<Upload, 'multipartOpen' | 'fingerprint' | 'limits'> & {
  readonly multipartOpen: number;
  readonly fingerprint: string | null;
  readonly limits: string | null;
};

/** One row: the number of the last change of an upload, even if it has been removed since. */
export interface ChangeCounterTable {
  readonly id: number;
  readonly last: number;
}

/** One row: what retention remembers about the clock. */
export interface ClockRecordTable {
  readonly id: number;
  readonly trustedAt: number | null;
  readonly isHeld: number;
}

/** Idempotency keys: an upload that other requests joined has several. */
export interface UploadKeysTable {
  readonly requestedBy: string;
  readonly idempotencyKey: string;
  readonly uploadId: string;
  readonly terms: string | null;
}

/** One row per client, retained when the client is removed: its epoch must never restart. */
export interface SessionsTable {
  readonly clientId: string;
  readonly epoch: number;
  readonly sessionId: string;
  readonly nodeId: string;
  readonly connectedSince: number | null;
  readonly tokenExpiresAt: number | null;
  readonly remoteAddress: string | null;
}

/** Retained when the client is removed. */
export type BlockedClientsTable = ClientBlock & { readonly clientId: string };

export interface AuditEventsTable {
  readonly id: Generated<number>;
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly clientId: string | null;
  readonly uploadId: string | null;
  readonly detail: string;
  readonly address: string | null;
  /** HTTP status and error code of a request that was not accepted; both null, or neither. */
  readonly status: number | null;
  readonly error: string | null;
  readonly count: number;
}

/** For webhooks: written with the transition that causes them, delivered later. */
export interface OutboxTable {
  readonly id: Generated<number>;
  readonly topic: string;
  readonly payload: string;
  readonly createdAt: number;
  readonly deliveredAt: number | null;
}

/** When something first happened, by name. */
export interface FirstTimesTable {
  readonly event: string;
  readonly at: number;
}
