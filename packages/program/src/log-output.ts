import { fstatSync } from 'node:fs';

/** Log levels of all programs, most verbose first. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `json` for programs, `human` for a terminal. */
export const logFormats = ['human', 'json'] as const;
export type LogFormat = (typeof logFormats)[number];

export interface LogEntry {
  readonly level: LogLevel;
  readonly time: Date;
  readonly message: string;
  /** Fields with snake_case names. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Renders a log line without its line break, in the format of all programs (docs/logs.md). The caller must escape
 * control characters and remove secrets.
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

/** Quotes values, so that a file name with line breaks cannot forge a log line. */
function humanValue(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@+-]+$/.test(value)) return value;
  return JSON.stringify(value, plainError) ?? 'undefined';
}

function plainError(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const code = 'code' in value ? { code: value.code } : {};
  return { name: value.name, ...code, message: value.message, stack: value.stack };
}

/** Syslog severities (RFC 5424, section 6.2.1). */
const priorities: Readonly<Record<LogLevel, number>> = {
  trace: 7,
  debug: 7,
  info: 6,
  warn: 4,
  error: 3,
  fatal: 2,
};

/** Priority prefix that systemd's journal parses and removes (sd-daemon(3)), such as `<4>` for a warning. */
export function journalPrefix(level: LogLevel): string {
  return `<${priorities[level]}>`;
}

/**
 * Whether a file descriptor is connected to systemd's journal.
 *
 * @param journalStream Value of JOURNAL_STREAM: `device:inode` of the stream connected by systemd (systemd.exec(5)). It is
 *   compared because child processes inherit the variable even if their output is redirected.
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

/**
 * Keeps a full disk or a closed pipe on standard output from ending the program with a stack trace. The output is only
 * informative, so the program continues and reports the error once; a closed pipe is not reported.
 */
export function surviveUnwritableOutput(program: string): void {
  process.stdout.once('error', (error: NodeJS.ErrnoException) => {
    process.stdout.on('error', () => {});
    if (error.code === 'EPIPE') return;
    process.exitCode = 1;
    process.stderr.write(`${program}: standard output cannot be written: ${error.message}\n`);
  });
  process.stderr.on('error', () => {});
}
