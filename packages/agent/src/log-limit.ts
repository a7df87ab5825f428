import { Budget } from '@backhaul/protocol';
import type { LogEntry } from './log.ts';

const KiB = 1024;
/** Budget for lines about rejected server messages: a server can cause any number of them. */
const REFUSED = { perSecond: 4 * KiB, burst: 128 * KiB };
/** Budget for all other lines. */
const COMMON = { perSecond: 3 * KiB, burst: 200 * KiB };
/** Budget for each kind of line once the common one is used up. All budgets together stay below a megabyte per minute. */
const RESERVE = { perSecond: KiB / 5, burst: 12 * KiB };
const MAX_RESERVES = 10;
/** Minimum time between two reports of dropped lines. */
const REPORT_INTERVAL_MS = 5000;

/** A line caused by a server message has one of these fields. */
const subjects = ['upload_id', 'command_id', 'session_id', 'action'];

/**
 * Limits the size of the log: server messages are logged, and a server may send any number of them. Lines over the
 * limit are dropped; their number is reported with a later line that fits. The budgets are separate, so that a flood of
 * rejected messages hides neither which files were read nor the state of the connection.
 */
export function limitedWrite(
  write: (line: string) => void,
  {
    reportDropped,
    now = () => performance.now(),
  }: { reportDropped: (lines: number) => void; now?: () => number },
): (line: string, entry: LogEntry) => void {
  const refused = new Budget({ ...REFUSED, now });
  const common = new Budget({ ...COMMON, now });
  const reserves = new Map<string, Budget>();
  const reserveOf = (kind: string): Budget => {
    const key = reserves.has(kind) || reserves.size < MAX_RESERVES - 1 ? kind : '';
    const reserve = reserves.get(key) ?? new Budget({ ...RESERVE, now });
    reserves.set(key, reserve);
    return reserve;
  };
  let dropped = 0;
  let reportedAt = Number.NEGATIVE_INFINITY;
  return (line, { level, message, fields }) => {
    const bytes = Buffer.byteLength(line);
    const isFromServer = subjects.some((subject) => subject in fields);
    // Lines about server messages have a fixed set of messages; others may quote a peer.
    const kind = isFromServer ? message : '';
    const fits =
      isFromServer && level !== 'info'
        ? refused.tryTake(bytes)
        : common.tryTake(bytes) || reserveOf(kind).tryTake(bytes);
    if (!fits) {
      dropped += 1;
      return;
    }
    if (dropped > 0 && now() - reportedAt >= REPORT_INTERVAL_MS) {
      reportedAt = now();
      reportDropped(dropped);
      dropped = 0;
    }
    write(line);
  };
}
