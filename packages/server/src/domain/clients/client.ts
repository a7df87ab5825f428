import { BackhaulError, UPLOAD_LIMITS_CAPABILITY, type UploadLimits } from '@backhaul/protocol';

/** An operator keeps a client away: its agent is refused before the upgrade. */
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
  /** The agent's `--file`; what a trigger without `file_path` asks for. */
  readonly defaultFilePath: string | null;
  /** Of each of its uploads, set by an operator; null for those of the server. */
  readonly limits: UploadLimits | null;
  /** Of its newest session; grows with every new one. */
  readonly epoch: number;
  /** When its present session began; null while it is away. */
  readonly connectedSince: number | null;
  /** When the token ends that its newest session began with, or the renewed one that its agent has stored since; null if that was before the server kept it. */
  readonly tokenExpiresAt: number | null;
  /** Where its newest session came from, as far as trusted proxies say it; null if that was before the server kept it. */
  readonly remoteAddress: string | null;
  /** Null if it is not blocked. */
  readonly block: ClientBlock | null;
}

/** What `hello` says about the machine. */
export type ClientDescription = Pick<
  Client,
  'agentVersion' | 'platform' | 'capabilities' | 'labels' | 'defaultFilePath'
>;

/** For operators. Continues “Client …”. */
function describeBlock(clientId: string, { blockedAt, blockedBy, reason }: ClientBlock): string {
  const why = reason === null ? '' : `: ${reason}`;
  return `${clientId} was blocked on ${new Date(blockedAt).toISOString()} by ${blockedBy}${why}`;
}

/** Refuses an agent's connection. Its message goes to the machine, which learns neither who blocked it nor why. */
export class ClientBlocked extends BackhaulError {
  readonly block: ClientBlock;

  constructor(clientId: string, block: ClientBlock) {
    const at = new Date(block.blockedAt).toISOString();
    super('forbidden', `Client ${clientId} was blocked by an operator on ${at}.`, { reason: 'blocked' });
    this.block = block;
  }
}

/** Of a client that is blocked nothing new is asked. @throws BackhaulError `client_blocked` */
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
    `Agent ${clientId} (version ${agentVersion}) keeps no limits that come with an upload. Update it, or start it with --max-rate or --parallel-parts.`,
  );
}
