import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { networkOf } from './client-addresses.ts';

/** 0 is no limit. */
export interface ConnectionLimits {
  readonly connections: number;
  readonly unauthenticated: number;
  readonly unauthenticatedPerAddress: number;
}

/** Configured limits; null derives one from the process's limit of descriptors. */
export type ConnectionSettings = { readonly [Name in keyof ConnectionLimits]: number | null };

/** Descriptors reserved for the database, the log, and connections to the object store. */
const RESERVED = 128;
/** After an outage many agents may connect at the same moment, all from one address behind a proxy. */
const MAX_UNAUTHENTICATED = 2048;
const MAX_UNAUTHENTICATED_PER_ADDRESS = 1024;

/** @param descriptors The process's limit of open descriptors; undefined if it is unknown or unlimited. */
export function connectionLimits(
  settings: ConnectionSettings,
  descriptors: number | undefined = descriptorLimit(),
): ConnectionLimits {
  const room = descriptors === undefined ? 0 : Math.max(Math.floor(descriptors / 2), descriptors - RESERVED);
  const connections = settings.connections ?? room;
  const atMost = (limit: number, share: number): number =>
    connections === 0 ? limit : Math.max(1, Math.min(limit, Math.floor(connections * share)));
  return {
    connections,
    unauthenticated: settings.unauthenticated ?? atMost(MAX_UNAUTHENTICATED, 1 / 2),
    unauthenticatedPerAddress:
      settings.unauthenticatedPerAddress ?? atMost(MAX_UNAUTHENTICATED_PER_ADDRESS, 1 / 4),
  };
}

/** Node.js has no getrlimit, so this works on Linux only. */
function descriptorLimit(): number | undefined {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/**
 * Time that a client has for its handshake and request before its connection can be closed in favour of a newer one.
 */
const GRACE_MS = 3000;
/** Maximum lifetime of a connection without a valid token: sending a request and reading its response. */
const LIFETIME_MS = 30_000;
const SWEEP_INTERVAL_MS = 1000;

/**
 * - `per_address`, `unauthenticated`: closed because of the limit of unauthenticated connections
 * - `too_slow`: closed at the end of its lifetime
 * - `connections`: not accepted, because of the limit of all connections
 */
export const connectionRefusals = ['per_address', 'unauthenticated', 'too_slow', 'connections'] as const;
export type ConnectionRefusal = (typeof connectionRefusals)[number];

interface Unauthenticated {
  readonly key: string;
  readonly socket: Socket;
  /** The address it counts for: a network, or the connection alone until a trusted proxy has named one. */
  address: string;
  /** Monotonic, milliseconds. */
  readonly since: number;
  readonly onClose: () => void;
}

/**
 * Limits the resources of clients that have not presented a valid token: connections without an authenticated request
 * or upgrade, including those in their TLS handshake. Above the limit the oldest is closed if its grace period is
 * over, otherwise the newest: neither silent sockets nor a rush of agents, which reconnect, lock others out for long.
 */
export class UnauthenticatedConnections {
  readonly #limits: ConnectionLimits;
  readonly #onRefused: (reason: ConnectionRefusal) => void;
  /** By the four numbers of a connection, because a TLS socket is another object than the one below it. */
  readonly #all = new Map<string, Unauthenticated>();
  readonly #byAddress = new Map<string, Set<Unauthenticated>>();
  readonly #isProxy: (address: string) => boolean;
  #isTrimming = false;

  /** @param isProxy Whether an address belongs to a trusted proxy: then the connection does not count for it. */
  constructor(
    limits: ConnectionLimits,
    onRefused: (reason: ConnectionRefusal) => void,
    isProxy: (address: string) => boolean = () => false,
  ) {
    this.#limits = limits;
    this.#onRefused = onRefused;
    this.#isProxy = isProxy;
  }

  get size(): number {
    return this.#all.size;
  }

  watch(server: Server): void {
    // Also for an HTTPS server: this event comes before the handshake.
    server.on('connection', (socket: Socket) => this.#add(socket));
    server.on('drop', () => this.#onRefused('connections'));
    if (this.#limits.connections > 0) server.maxConnections = this.#limits.connections;
    const sweep = setInterval(() => this.#endOverdue(), SWEEP_INTERVAL_MS);
    server.on('close', () => clearInterval(sweep));
  }

  /** @param socket Of the request or upgrade; with TLS not the one of the `connection` event. */
  authenticated(socket: Socket): void {
    const connection = this.#find(socket);
    if (connection !== undefined) this.#remove(connection);
  }

  /**
   * The client address named by a trusted proxy in a request on this connection: from now on it counts for that
   * address.
   */
  cameFrom(socket: Socket, address: string): void {
    const connection = this.#find(socket);
    if (connection === undefined || !this.#isProxy(socket.remoteAddress ?? '')) return;
    this.#leave(connection);
    connection.address = networkOf(address);
    this.#join(connection);
  }

  has(socket: Socket): boolean {
    return this.#find(socket) !== undefined;
  }

  /** Called for every request; usually the connection is already authenticated. */
  #find(socket: Socket): Unauthenticated | undefined {
    if (this.#all.size === 0) return undefined;
    const key = keyOf(socket);
    return key === undefined ? undefined : this.#all.get(key);
  }

  #add(socket: Socket): void {
    const key = keyOf(socket);
    // It was reset before it could be accepted.
    if (key === undefined) return void socket.destroy();
    const peer = socket.remoteAddress ?? '';
    const address = this.#isProxy(peer) ? key : networkOf(peer);
    const onClose = () => this.#remove(connection);
    const connection: Unauthenticated = { key, socket, address, since: performance.now(), onClose };
    // A client that reset its connection may reconnect from the same port before the end of the old one is reported.
    const previous = this.#all.get(key);
    if (previous !== undefined) this.#remove(previous);
    this.#all.set(key, connection);
    socket.on('close', onClose);
    this.#join(connection);
  }

  #join(connection: Unauthenticated): void {
    const own = this.#byAddress.get(connection.address) ?? new Set();
    this.#byAddress.set(connection.address, own.add(connection));
    const { unauthenticated, unauthenticatedPerAddress } = this.#limits;
    if (excessOf(own.size, unauthenticatedPerAddress) + excessOf(this.#all.size, unauthenticated) > 0) {
      this.#trimSoon();
    }
  }

  /** By identity, not by its key: that may be another connection's by now. */
  #remove(connection: Unauthenticated): void {
    // A connection may live for months, and there are thousands: release everything from its first second.
    connection.socket.off('close', connection.onClose);
    if (this.#all.get(connection.key) === connection) this.#all.delete(connection.key);
    this.#leave(connection);
  }

  #leave(connection: Unauthenticated): void {
    const own = this.#byAddress.get(connection.address);
    own?.delete(connection);
    if (own?.size === 0) this.#byAddress.delete(connection.address);
  }

  /** After the turn that reads requests which have already arrived: their connections may not count any more. */
  #trimSoon(): void {
    if (this.#isTrimming) return;
    this.#isTrimming = true;
    setImmediate(() =>
      setImmediate(() => {
        this.#isTrimming = false;
        this.#trim();
      }),
    );
  }

  #trim(): void {
    const { unauthenticated, unauthenticatedPerAddress } = this.#limits;
    for (const own of this.#byAddress.values()) {
      for (let excess = excessOf(own.size, unauthenticatedPerAddress); excess > 0; excess -= 1) {
        this.#drop(victimOf(own), 'per_address');
      }
    }
    for (let excess = excessOf(this.#all.size, unauthenticated); excess > 0; excess -= 1) {
      // The address with the most connections: a single one cannot lock out all others.
      const groups = [...this.#byAddress.values()];
      const largest = groups.reduce((most, group) => (group.size > most.size ? group : most));
      this.#drop(victimOf(largest), 'unauthenticated');
    }
  }

  #endOverdue(): void {
    const before = performance.now() - LIFETIME_MS;
    for (const connection of this.#all.values()) {
      if (connection.since > before) return;
      this.#drop(connection, 'too_slow');
    }
  }

  #drop(connection: Unauthenticated, reason: ConnectionRefusal): void {
    this.#onRefused(reason);
    this.#remove(connection);
    connection.socket.destroy();
  }
}

function excessOf(count: number, limit: number): number {
  return limit === 0 ? 0 : Math.max(0, count - limit);
}

/** @param connections Oldest first, and not empty. */
function victimOf(connections: Set<Unauthenticated>): Unauthenticated {
  const [oldest] = connections;
  if (oldest === undefined) throw new TypeError('there is no connection to close');
  if (performance.now() - oldest.since >= GRACE_MS) return oldest;
  return [...connections].at(-1) ?? oldest;
}

/** Undefined once the peer has disconnected. */
function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return `${remoteAddress}|${remotePort}|${localAddress}|${localPort}`;
}
