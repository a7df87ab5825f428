import { BackhaulError, UPLOAD_LIMITS_CAPABILITY, type UploadLimits } from '@backhaul/protocol';

/** A client blocked by an operator: its agent is refused before the upgrade. */
export interface ClientBlock {
  readonly blockedAt: number;
  /** Subject of the operator's token. */
  readonly blockedBy: string;
  readonly reason: string | null;
}

/** A machine that has connected at least once. Times are milliseconds since the epoch. */
export interface Client {
  readonly clientId: string;
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  readonly agentVersion: string;
  readonly platform: { readonly os: string; readonly arch: string; readonly hostname: string | null };
  readonly capabilities: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** The agent's `--file`; used by a trigger without `file_path`. */
  readonly defaultFilePath: string | null;
  /** Limits for each of its uploads, set by an operator; null for the server's. */
  readonly limits: UploadLimits | null;
  /** Epoch of its newest session; grows with every new one. */
  readonly epoch: number;
  /** Start of its current session; null while it is disconnected. */
  readonly connectedSince: number | null;
  /**
   * Expiry of its newest session's token, or of the renewed token that its agent has stored since; null if that session
   * predates this column.
   */
  readonly tokenExpiresAt: number | null;
  /** Address of its newest session, as reported by trusted proxies; null if that session predates this column. */
  readonly remoteAddress: string | null;
  /** Null if it is not blocked. */
  readonly block: ClientBlock | null;
}

/** A machine's description in `hello`. */
export type ClientDescription = Pick<
  Client,
  'agentVersion' | 'platform' | 'capabilities' | 'labels' | 'defaultFilePath'
>;

/** For operators. Continues “Client …”. */
function describeBlock(clientId: string, { blockedAt, blockedBy, reason }: ClientBlock): string {
  const why = reason === null ? '' : `: ${reason}`;
  return `${clientId} was blocked on ${new Date(blockedAt).toISOString()} by ${blockedBy}${why}`;
}

/** Refuses an agent's connection. The message is sent to the machine and reveals neither who blocked it nor why. */
export class ClientBlocked extends BackhaulError {
  readonly block: ClientBlock;

  constructor(clientId: string, block: ClientBlock) {
    const at = new Date(block.blockedAt).toISOString();
    super('forbidden', `Client ${clientId} was blocked by an operator on ${at}.`, { reason: 'blocked' });
    this.block = block;
  }
}

/** A blocked client gets no new work. @throws BackhaulError `client_blocked` */
export function assertNotBlocked(clientId: string, block: ClientBlock | null): void {
  if (block === null) return;
  throw new BackhaulError(
    'client_blocked',
    `Client ${describeBlock(clientId, block)}. To let it connect again: backhaul unblock ${clientId}.`,
  );
}

/** @throws BackhaulError `not_supported` */
export function assertTakesLimits({ clientId, agentVersion, capabilities }: Client): void {
  if (capabilities.includes(UPLOAD_LIMITS_CAPABILITY)) return;
  throw new BackhaulError(
    'not_supported',
    `Agent ${clientId} (version ${agentVersion}) does not support limits per upload. Update it, or start it with --max-rate or --parallel-parts.`,
  );
}
