import { journalPrefix, type LogFormat, renderLogLine } from '@backhaul/program';
import { Budget, printable } from '@backhaul/protocol';

/** The subset of pino's interface that the agent uses; pino itself would be a third of the agent's installed size. */
export interface Log {
  debug: LogLine;
  info: LogLine;
  warn: LogLine;
  error: LogLine;
  /** A logger that adds `fields` to all of its lines. */
  child(fields: LogFields): Log;
}

export interface LogLine {
  (message: string): void;
  (fields: LogFields, message: string): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Content of a log line, for the code that writes it. */
export interface LogEntry {
  readonly level: Exclude<LogLevel, 'silent'>;
  readonly message: string;
  readonly fields: LogFields;
}

interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Whether the lines go to systemd's journal: each then starts with its priority. */
  readonly toJournal?: boolean;
  readonly write: (line: string, entry: LogEntry) => void;
}

/** Never pass a token or a presigned URL in `fields`: secrets are not detected here. */
export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  const threshold = logLevels.indexOf(options.level);
  const at =
    (level: Exclude<LogLevel, 'silent'>): LogLine =>
    (first: LogFields | string, second?: string) => {
      if (logLevels.indexOf(level) < threshold) return;
      const [fields, message] = typeof first === 'string' ? [{}, first] : [first, second ?? ''];
      const all = { ...bound, ...fields };
      const prefix = options.toJournal === true ? journalPrefix(level) : '';
      const line = renderLogLine({ level, time: new Date(), message, fields: all }, options.format);
      options.write(`${prefix}${printable(line)}\n`, { level, message, fields: all });
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => createLog(options, { ...bound, ...fields }),
  };
}

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
