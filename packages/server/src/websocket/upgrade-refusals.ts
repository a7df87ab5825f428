import type { IncomingMessage } from 'node:http';
import {
  BackhaulError,
  clientIdSchema,
  type ErrorCode,
  PacedLines,
  type RefusalReason,
} from '@backhaul/protocol';
import { decodeJwt } from 'jose';
import { bearerToken } from '../auth/bearer-token.ts';
import { ClientBlocked } from '../domain/clients/client.ts';
import type { Log } from '../domain/ports/log.ts';
import { networkOf } from '../http/unauthenticated-connections.ts';
import { PacedLog } from './paced-log.ts';

/** Peers with a pace of their own; further ones share one. */
const MAX_PEERS = 64;
/** Nothing longer is parsed: the peer is not authenticated. */
const MAX_TOKEN_LENGTH = 8 * 1024;

const reasonOfCode: Partial<Record<ErrorCode, RefusalReason>> = {
  not_found: 'protocol',
  invalid_request: 'protocol',
  too_many_requests: 'busy',
  shutting_down: 'shutting_down',
};

/**
 * Says which agents are refused, and why: what its operator sees of a machine whose token has ended. Anyone can be
 * refused as often as he likes, so that the log gets one line a second for each address at most, and sixty-five in all;
 * and one more about faults of the server, which a peer may know how to cause.
 */
export class UpgradeRefusals {
  readonly #log: Log;
  readonly #count: (reason: RefusalReason) => void;
  readonly #peers = new Map<string, PacedLog>();
  readonly #others: PacedLog;
  readonly #faults: PacedLines<object>;

  constructor(parts: { readonly log: Log; readonly count: (reason: RefusalReason) => void }) {
    this.#log = parts.log;
    this.#count = parts.count;
    this.#others = new PacedLog(parts.log);
    this.#faults = new PacedLines((data, suppressed) =>
      parts.log.error(suppressed === 0 ? data : { ...data, suppressed }, 'upgrade failed'),
    );
  }

  /**
   * @param clientId Of a token that was found to be good; undefined if there was none.
   * @returns what the peer is told: nothing of an error that is no BackhaulError.
   */
  refused(
    { request, address }: { request: IncomingMessage; address: string },
    error: unknown,
    clientId: string | undefined,
  ): BackhaulError {
    const refusal = error instanceof BackhaulError ? error : new BackhaulError('internal_error');
    if (refusal !== error) this.#faults.write({ err: error, address });
    const reason = refusal.reason ?? reasonOfCode[refusal.code] ?? 'fault';
    this.#count(reason);
    // Every agent that comes back is refused then.
    if (reason === 'shutting_down') return refusal;
    const who = clientId === undefined ? claimOf(request) : { clientId };
    const by = refusal instanceof ClientBlocked ? blockFields(refusal) : {};
    this.#logOf(networkOf(address)).warn(
      { reason, ...who, address, detail: refusal.message, ...by },
      'agent refused before the upgrade',
    );
    return refusal;
  }

  /** Writes what waits. */
  close(): void {
    for (const log of this.#peers.values()) log.close();
    this.#others.close();
    this.#faults.close();
  }

  #logOf(network: string): PacedLog {
    const known = this.#peers.get(network);
    if (known !== undefined) return known;
    if (this.#peers.size >= MAX_PEERS) {
      for (const [other, log] of this.#peers) if (log.isIdle) this.#peers.delete(other);
    }
    if (this.#peers.size >= MAX_PEERS) return this.#others;
    const log = new PacedLog(this.#log);
    this.#peers.set(network, log);
    return log;
  }
}

function blockFields({ block }: ClientBlocked): object {
  return { blockedBy: block.blockedBy, ...(block.reason !== null && { blockReason: block.reason }) };
}

/** Whom a token that was refused says it is of. Anyone can write that. */
function claimOf({ headers }: IncomingMessage): { readonly claimedClientId?: string } {
  try {
    const token = bearerToken(headers, '');
    if (token.length > MAX_TOKEN_LENGTH) return {};
    return { claimedClientId: clientIdSchema.parse(decodeJwt(token).sub) };
  } catch {
    return {};
  }
}
