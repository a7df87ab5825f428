/** The slice of pino's interface that the agent uses; pino itself would be a third of the agent's install. */
export interface Log {
  debug: LogLine;
  info: LogLine;
  warn: LogLine;
  error: LogLine;
  /** A log whose lines all carry `fields`. */
  child(fields: LogFields): Log;
}

export interface LogLine {
  (message: string): void;
  (fields: LogFields, message: string): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];
export const logFormats = ['human', 'json'] as const;
export type LogFormat = (typeof logFormats)[number];

interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly write: (line: string) => void;
}

/** Never pass a token or a presigned URL in `fields`: nothing here knows a secret when it sees one. */
export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  const threshold = logLevels.indexOf(options.level);
  const format = options.format === 'json' ? jsonLine : humanLine;
  const at =
    (level: Exclude<LogLevel, 'silent'>): LogLine =>
    (first: LogFields | string, second?: string) => {
      if (logLevels.indexOf(level) < threshold) return;
      const [fields, message] = typeof first === 'string' ? [{}, first] : [first, second ?? ''];
      options.write(`${format(level, message, { ...bound, ...fields })}\n`);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => createLog(options, { ...bound, ...fields }),
  };
}

function jsonLine(level: string, message: string, fields: LogFields): string {
  return JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg: message }, plainError);
}

function humanLine(level: string, message: string, fields: LogFields): string {
  const time = new Date().toISOString().slice(11, 19);
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${humanValue(value)}`);
  return `${time} ${level.padEnd(5)} ${message}${pairs.join('')}`;
}

/** A file name may hold line breaks or terminal escapes; quoted, it can forge neither a line nor a colour. */
function humanValue(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@+-]+$/.test(value)) return value;
  const quoted = JSON.stringify(value, plainError) ?? 'undefined';
  return quoted.replaceAll(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function plainError(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const code = 'code' in value ? { code: value.code } : {};
  return { name: value.name, ...code, message: value.message, stack: value.stack };
}
