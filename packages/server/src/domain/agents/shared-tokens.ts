import type { Finding, Hello } from '@backhaul/protocol';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';

const DAY_MS = 86_400_000;
/** Boots remembered per client; fewer are enough to detect a fleet that shares one token. */
const MAX_BOOTS = 8;

/** Reason why a client's sent parts are discarded: on another machine the same path may be another file. */
export const STARTED_ELSEWHERE =
  'The upload seems to have been started on another machine with the token of this client; it restarts from the beginning. Give each machine its own client_id and token.';

interface Seen {
  /** Boots that were followed by others, and when they were last connected. */
  readonly earlier: Set<string>;
  current: string;
  duplicates: number;
  lastAt: number;
}

/** Machine and boot as one string; null for an agent that does not report them. */
export function hostIdOf(host: Hello['host']): string | null {
  return host === undefined ? null : `${host.machine}.${host.boot}`;
}

interface SharedTokensDeps {
  readonly clock: Clock;
  readonly log: Pick<Log, 'warn'>;
  readonly count: () => void;
}

/**
 * Detects machines that seem to use one token, such as clones of one disk. A machine has one boot at a time, and none
 * returns: a boot that connects again after another one did is most likely another machine's. Whether both run at the
 * same time stays unknown (one may replace the other), and a virtual machine reset to a snapshot has its earlier boot
 * again.
 */
export class SharedTokens {
  readonly #deps: SharedTokensDeps;
  readonly #clients = new Map<string, Seen>();

  constructor(deps: SharedTokensDeps) {
    this.#deps = deps;
  }

  /** A session of the client has started on this host. */
  connected(clientId: string, hostId: string | null): void {
    if (hostId === null) return;
    const seen = this.#clients.get(clientId);
    if (seen === undefined) {
      this.#clients.set(clientId, { earlier: new Set(), current: hostId, duplicates: 0, lastAt: 0 });
      return;
    }
    if (seen.current === hostId) return;
    const cameBack = seen.earlier.has(hostId);
    seen.earlier.add(seen.current);
    const [oldest] = seen.earlier;
    if (seen.earlier.size > MAX_BOOTS && oldest !== undefined) seen.earlier.delete(oldest);
    seen.current = hostId;
    if (!cameBack) return;
    seen.duplicates = this.duplicatesOf(clientId) + 1;
    seen.lastAt = this.#deps.clock.elapsed();
    this.#deps.count();
    this.#deps.log.warn(
      { clientId, duplicateConnections: seen.duplicates },
      'two machines seem to share the token of one client; give each its own',
    );
  }

  /** How often an earlier boot has returned; 0 after a day without that. */
  duplicatesOf(clientId: string): number {
    const seen = this.#clients.get(clientId);
    return seen === undefined || this.#deps.clock.elapsed() - seen.lastAt > DAY_MS ? 0 : seen.duplicates;
  }

  /**
   * Whether an upload started on one host cannot be resumed on another. Clones may share a machine id and then differ
   * only in their boots, like a machine before and after a reboot: until a boot has returned, they count as one.
   */
  isElsewhere(clientId: string, startedOn: string | null, hostId: string | null): boolean {
    if (startedOn === null || hostId === null || startedOn === hostId) return false;
    if (this.duplicatesOf(clientId) > 0) return true;
    return startedOn.split('.', 1)[0] !== hostId.split('.', 1)[0];
  }

  /** For `backhaul doctor`. */
  findings(): Finding[] {
    const shared = [...this.#clients.keys()].filter((clientId) => this.duplicatesOf(clientId) > 0);
    if (shared.length === 0) return [];
    return [
      {
        name: 'shared_tokens',
        level: 'warning',
        detail: `Several machines seem to share one token: ${shared.slice(0, 10).join(', ')}${shared.length > 10 ? ', …' : ''}.`,
        fix: 'Give each machine its own client_id and token (backhaul token agent); after cloning a disk, also a new /etc/machine-id (systemd-firstboot).',
      },
    ];
  }
}
