import type { IncomingMessage } from 'node:http';
import {
  BackhaulError,
  clientIdSchema,
  type ErrorCode,
  PacedLines,
  type RefusalReason,
} from '@backhaul/protocol';
import { decodeJwt } from 'jose';
import { bearerToken, MAX_TOKEN_LENGTH } from '../auth/token-verifier.ts';
import { ClientBlocked } from '../domain/agents/client.ts';
import type { Log } from '../domain/ports/log.ts';
import { networkOf } from '../http/client-addresses.ts';
import { PacedLog } from './paced-log.ts';

/** Peers with a log rate of their own; further ones share one. */
const MAX_PEERS = 64;
const reasonOfCode: Partial<Record<ErrorCode, RefusalReason>> = {
  not_found: 'protocol',
  invalid_request: 'protocol',
  too_many_requests: 'busy',
  shutting_down: 'shutting_down',
};

/**
 * Logs which agents are refused and why: for example, a machine whose token has expired. Any peer can be refused at
 * any rate, so the log gets at most one line a second for each address, and sixty-five in all; plus one about faults
 * of the server, which a peer may know how to cause.
 */
export class UpgradeRefusals {
  readonly #log: Log;
  readonly #count: (reason: RefusalReason) => void;
  readonly #peers = new Map<string, PacedLog>();
  readonly #others: PacedLog;
  readonly #faults: PacedLines<object>;

  constructor(deps: { readonly log: Log; readonly count: (reason: RefusalReason) => void }) {
    this.#log = deps.log;
    this.#count = deps.count;
    this.#others = new PacedLog(deps.log);
    this.#faults = new PacedLines((data, suppressed) =>
      deps.log.error(suppressed === 0 ? data : { ...data, suppressed }, 'upgrade failed'),
    );
  }

  /**
   * @param clientId Of a verified token; undefined without one.
   * @returns the error for the peer: it reveals nothing of an error that is no BackhaulError.
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
    // Every agent that reconnects is refused then.
    if (reason === 'shutting_down') return refusal;
    const who = clientId === undefined ? claimOf(request) : { clientId };
    const by = refusal instanceof ClientBlocked ? blockFields(refusal) : {};
    this.#logOf(networkOf(address)).warn(
      { reason, ...who, address, detail: refusal.message, ...by },
      'agent refused before the upgrade',
    );
    return refusal;
  }

  /** Writes pending lines. */
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

/** The client that a refused token claims to belong to. Anyone can write that. */
function claimOf({ headers }: IncomingMessage): { readonly claimedClientId?: string } {
  try {
    const token = bearerToken(headers, '');
    if (token.length > MAX_TOKEN_LENGTH) return {};
    return { claimedClientId: clientIdSchema.parse(decodeJwt(token).sub) };
  } catch {
    return {};
  }
}
