import { fstatSync } from 'node:fs';

/** The levels of all programs, most talkative first. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `json` for programs, `human` for a terminal. */
export const logFormats = ['human', 'json'] as const;
export type LogFormat = (typeof logFormats)[number];

export interface LogEntry {
  readonly level: LogLevel;
  readonly time: Date;
  readonly message: string;
  /** Named in snake_case. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * One line of a log, without its end, the same for all programs (docs/logs.md). The caller makes it printable: nothing
 * here knows what a terminal obeys, nor a secret when it sees one.
 */
export function renderLogLine(entry: LogEntry, format: LogFormat): string {
  return format === 'json' ? jsonLine(entry) : humanLine(entry);
}

function jsonLine({ level, time, message, fields }: LogEntry): string {
  return JSON.stringify({ level, time: time.toISOString(), ...fields, msg: message }, plainError);
}

function humanLine({ level, time, message, fields }: LogEntry): string {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${humanValue(value)}`);
  return `${time.toISOString().slice(11, 19)} ${level.padEnd(5)} ${message}${pairs.join('')}`;
}

/** Quoted, a file name with line breaks forges no line. */
function humanValue(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@+-]+$/.test(value)) return value;
  return JSON.stringify(value, plainError) ?? 'undefined';
}

function plainError(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const code = 'code' in value ? { code: value.code } : {};
  return { name: value.name, ...code, message: value.message, stack: value.stack };
}

/** Of syslog (RFC 5424, section 6.2.1). */
const priorities: Readonly<Record<LogLevel, number>> = {
  trace: 7,
  debug: 7,
  info: 6,
  warn: 4,
  error: 3,
  fatal: 2,
};

/** What systemd's journal takes off the beginning of a line, to file it by (sd-daemon(3)): `<4>` for a warning. */
export function journalPrefix(level: LogLevel): string {
  return `<${priorities[level]}>`;
}

/**
 * Whether what is written to a descriptor goes to systemd's journal.
 *
 * @param journalStream JOURNAL_STREAM, `device:inode` of what systemd has connected (systemd.exec(5)); children that are
 *   redirected elsewhere inherit the variable.
 */
export function isJournal(fileDescriptor: number, journalStream: string | undefined): boolean {
  if (journalStream === undefined || journalStream === '') return false;
  try {
    const { dev, ino } = fstatSync(fileDescriptor, { bigint: true });
    return journalStream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}
