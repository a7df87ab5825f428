import { type LogFormat, journalPrefix, type LogLevel, logLevels, renderLogLine } from '@backhaul/program';
import { printable, printableJson } from '@backhaul/protocol';
import { type Logger, pino } from 'pino';
import { LogWriter } from './log-writer.ts';

/** Names of fields that may hold a secret. */
const secrets = ['authorization', 'token', 'secret', 'password', 'cookie'];
const CENSOR = '[redacted]';
/** Depth of the search below a field. */
const SEARCHED_LEVELS = 2;

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
  const render = (json: string): string => {
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
      formatters: { level: (label) => ({ level: label }), log: toLogged },
      // Only top-level names: pino's wildcards would take three times as long as the rest of a line.
      redact: { paths: secrets, censor: CENSOR },
      serializers: {
        // For Fastify's own lines; requests are logged by RequestLog.
        req: ({ method, url }: { method: string; url: string }) => ({ method, path: url.split('?', 1)[0] }),
        err: (error: Error) => {
          const { type: name, ...rest } = pino.stdSerializers.err(error);
          return withoutSecrets({ name, ...rest }, SEARCHED_LEVELS);
        },
      },
    },
    { write: (line) => writer.write(render(line.trimEnd())) },
  );
}

/** Names are camelCase in code; this converts them for the log, and redacts secrets. */
function toLogged(fields: Record<string, unknown>): Record<string, unknown> {
  const logged: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    // The serializer of errors redacts secrets itself, after it has read the fields that only errors have.
    const clean = name === 'err' ? value : withoutSecrets(value, SEARCHED_LEVELS);
    logged[/[A-Z]/.test(name) ? name.replaceAll(/[A-Z]/g, toSnakeCase) : name] = clean;
  }
  return logged;
}

function toSnakeCase(letter: string): string {
  return `_${letter.toLowerCase()}`;
}

/** @returns the value itself unless it contains a secret, because a copy may be serialized differently. */
function withoutSecrets(value: unknown, levels: number): unknown {
  if (levels === 0 || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((element: unknown) => withoutSecrets(element, levels - 1));
  const entries = Object.entries(value);
  const clean = entries.map(([name, inner]): [string, unknown] => [
    name,
    secrets.includes(name) ? CENSOR : withoutSecrets(inner, levels - 1),
  ]);
  const isClean = clean.every(([, inner], index) => inner === entries[index]?.[1]);
  return isClean ? value : Object.fromEntries(clean);
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
