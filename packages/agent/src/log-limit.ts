import { Budget } from '@backhaul/protocol';
import type { LineAbout } from './log.ts';

const KiB = 1024;
/** For lines about messages of the server that came to nothing: it can cause them at will. */
const REFUSED = { perSecond: 4 * KiB, burst: 128 * KiB };
/** For all other lines. */
const COMMON = { perSecond: 3 * KiB, burst: 200 * KiB };
/** For each kind of these lines once the common budget is spent; with all of them a minute has less than a megabyte. */
const RESERVE = { perSecond: KiB / 5, burst: 12 * KiB };
const MAX_RESERVES = 10;
/** How often it is said that lines were left out. */
const NOTE_INTERVAL_MS = 5000;

/** A line has one of these fields if a message of the server caused it. */
const subjects = ['upload_id', 'command_id', 'session_id', 'action'];

/**
 * Bounds what a log takes of a disk or a journal: what a server sends is logged, and it may send as much as it likes.
 * Lines beyond it are left out; how many is said with a later one that fits. Budgets are apart, so that a flood of
 * messages that are refused hides neither what was read nor what became of the connection.
 */
export function limitedWrite(
  write: (line: string) => void,
  {
    noteLeftOut,
    now = () => performance.now(),
  }: { noteLeftOut: (lines: number) => void; now?: () => number },
): (line: string, about: LineAbout) => void {
  const refused = new Budget({ ...REFUSED, now });
  const common = new Budget({ ...COMMON, now });
  const reserves = new Map<string, Budget>();
  const reserveOf = (kind: string): Budget => {
    const key = reserves.has(kind) || reserves.size < MAX_RESERVES - 1 ? kind : '';
    const reserve = reserves.get(key) ?? new Budget({ ...RESERVE, now });
    reserves.set(key, reserve);
    return reserve;
  };
  let leftOut = 0;
  let notedAt = Number.NEGATIVE_INFINITY;
  return (line, { level, message, fields }) => {
    const bytes = Buffer.byteLength(line);
    const isServers = subjects.some((subject) => subject in fields);
    // The messages of such lines are few and fixed, whereas others may quote a peer.
    const kind = isServers ? message : '';
    const fits =
      isServers && level !== 'info'
        ? refused.tryTake(bytes)
        : common.tryTake(bytes) || reserveOf(kind).tryTake(bytes);
    if (!fits) {
      leftOut += 1;
      return;
    }
    if (leftOut > 0 && now() - notedAt >= NOTE_INTERVAL_MS) {
      notedAt = now();
      noteLeftOut(leftOut);
      leftOut = 0;
    }
    write(line);
  };
}
