import { journalPrefix, type LogFormat, renderLogLine } from '@backhaul/program';
import { printable } from '@backhaul/protocol';

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
