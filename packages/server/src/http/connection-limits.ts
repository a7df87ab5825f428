import { readFileSync } from 'node:fs';

/** Configured values: 0 is no limit, null derives the limit from the process's descriptors. */
export interface ConnectionSettings {
  readonly connections: number | null;
  readonly unauthenticated: number | null;
  readonly unauthenticatedPerAddress: number | null;
}

/** 0 is no limit. */
export interface ConnectionLimits {
  readonly connections: number;
  readonly unauthenticated: number;
  readonly unauthenticatedPerAddress: number;
}

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
