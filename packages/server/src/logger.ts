import { type LogFormat, journalPrefix, type LogLevel, logLevels, renderLogLine } from '@backhaul/program';
import { printable, printableJson } from '@backhaul/protocol';
import { type Logger, pino } from 'pino';
import { LogWriter } from './log-writer.ts';

/** Names of fields that may hold a secret. Header names are case-insensitive, and so are these. */
const secretNames = 'authorization|token|secret|password|cookie';
const secretName = new RegExp(`^(?:${secretNames})$`, 'i');
/** Such a field in a line. Within a string value its quotes would be escaped. */
const secretField = new RegExp(`"(?:${secretNames})":`, 'i');
const CENSOR = '[redacted]';

/** Several minutes of a busy server's log. */
const MAX_WAITING = 16 * 1024 * 1024;

interface LoggerOptions {
  readonly level: string;
  readonly fileDescriptor: 1 | 2;
  readonly format: LogFormat;
  /** Whether the descriptor leads to systemd's journal, which reads each line's priority from its prefix. */
  readonly toJournal: boolean;
}

/**
 * Creates the log of all programs (docs/logs.md). Its lines are safe to show on a terminal, because they include
 * values from agents and operators. Requests are logged by method and path: a query may contain secrets.
 */
export function createLogger({ level, fileDescriptor, format, toJournal }: LoggerOptions): Logger {
  const render = (line: string): string => {
    const json = withoutSecrets(line);
    const prefix = toJournal ? journalPrefix(levelOf(json)) : '';
    return `${prefix}${format === 'json' ? printableJson(json) : printable(humanLine(json))}\n`;
  };
  const writer = new LogWriter(fileDescriptor, {
    maxWaiting: MAX_WAITING,
    describeDropped: (lines) => {
      const message = 'log lines dropped: the reader was too slow';
      return render(renderLogLine({ level: 'warn', time: new Date(), message, fields: { lines } }, 'json'));
    },
  });
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: inSnakeCase },
      serializers: {
        // For Fastify's own lines; requests are logged by RequestLog.
        req: ({ method, url }: { method: string; url: string }) => ({ method, path: url.split('?', 1)[0] }),
        err: (error: Error) => {
          const { type: name, ...rest } = pino.stdSerializers.err(error);
          return { name, ...rest };
        },
      },
    },
    { write: (line) => writer.write(render(line.trimEnd())) },
  );
}

/** Names are camelCase in code; this converts them for the log. */
function inSnakeCase(fields: Record<string, unknown>): Record<string, unknown> {
  const logged: Record<string, unknown> = {};
  for (const name of Object.keys(fields)) logged[snakeCaseOf(name)] = fields[name];
  return logged;
}

/** The code has few names of fields, and converting one takes longer than the rest of a line. */
const snakeCaseNames = new Map<string, string>();

function snakeCaseOf(name: string): string {
  const known = snakeCaseNames.get(name);
  if (known !== undefined) return known;
  const converted = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  snakeCaseNames.set(name, converted);
  return converted;
}

/**
 * Redacts secrets at every depth. The written line is searched, not the logged values: only it has what errors, `toJSON`,
 * serializers and child bindings make of them, and few lines have to be parsed.
 */
function withoutSecrets(json: string): string {
  if (!secretField.test(json)) return json;
  const redacted: unknown = JSON.parse(json, (name, value: unknown) =>
    secretName.test(name) ? CENSOR : value,
  );
  return JSON.stringify(redacted);
}

function levelOf(json: string): LogLevel {
  const [, name] = /^\{"level":"(\w+)"/.exec(json) ?? [];
  return logLevels.find((level) => level === name) ?? 'info';
}

function humanLine(json: string): string {
  const { level: _level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  return renderLogLine(
    {
      level: levelOf(json),
      time: new Date(String(time)),
      message: typeof msg === 'string' ? msg : '',
      fields,
    },
    'human',
  );
}
