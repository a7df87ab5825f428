import type { Finding, Hello } from '@backhaul/protocol';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';

const DAY_MS = 86_400_000;
/** Boots that are remembered of a client; a fleet that shares one token is known by fewer. */
const MAX_BOOTS = 8;

interface Seen {
  /** Those that others have come after, and when they were last here. */
  readonly earlier: Set<string>;
  current: string;
  duplicates: number;
  lastAt: number;
}

/** Machine and boot, as one text; null of an agent that does not tell. */
export function hostIdOf(host: Hello['host']): string | null {
  return host === undefined ? null : `${host.machine}.${host.boot}`;
}

/**
 * Finds machines that seem to use one token, such as clones of one disk. A machine has one boot at a time, and none
 * comes back: a boot that connects again after another one did is most likely another machine's. Whether both run at the
 * same time stays open (one may stand in for the other), and a virtual machine that is set back to a snapshot has its
 * boot again.
 */
export class SharedTokens {
  readonly #clients = new Map<string, Seen>();
  readonly #clock: Clock;
  readonly #log: Pick<Log, 'warn'>;
  readonly #count: () => void;

  constructor(deps: { readonly clock: Clock; readonly log: Pick<Log, 'warn'>; readonly count: () => void }) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#count = deps.count;
  }

  /** A session of the client has begun on this host. */
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
    seen.lastAt = this.#clock.elapsed();
    this.#count();
    this.#log.warn(
      { clientId, duplicateConnections: seen.duplicates },
      'two machines seem to use the token of one client; give each its own',
    );
  }

  /** How often a boot has come back; 0 once it has not happened for a day. */
  duplicatesOf(clientId: string): number {
    const seen = this.#clients.get(clientId);
    return seen === undefined || this.#clock.elapsed() - seen.lastAt > DAY_MS ? 0 : seen.duplicates;
  }

  /**
   * Whether what was begun on one host cannot go on at another. Clones may have one machine id, and then only their boots
   * differ, as those of one machine do that was started again: until one has come back, they count as one.
   */
  isElsewhere(clientId: string, begunOn: string | null, hostId: string | null): boolean {
    if (begunOn === null || hostId === null || begunOn === hostId) return false;
    if (this.duplicatesOf(clientId) > 0) return true;
    return begunOn.split('.', 1)[0] !== hostId.split('.', 1)[0];
  }

  /** For `backhaul doctor`. */
  findings(): Finding[] {
    const shared = [...this.#clients.keys()].filter((clientId) => this.duplicatesOf(clientId) > 0);
    if (shared.length === 0) return [];
    return [
      {
        name: 'shared_tokens',
        level: 'warning',
        detail: `Several machines seem to use one token, at once or in turns: ${shared.slice(0, 10).join(', ')}${shared.length > 10 ? ', …' : ''}.`,
        fix: 'Give each machine a client_id and a token of its own (backhaul token agent); after cloning a disk, also a new /etc/machine-id (systemd-firstboot).',
      },
    ];
  }
}
