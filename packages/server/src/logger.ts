import { type LogFormat, journalPrefix, type LogLevel, logLevels, renderLogLine } from '@backhaul/program';
import { printable, printableJson } from '@backhaul/protocol';
import { type Logger, pino } from 'pino';
import { LogWriter } from './log-writer.ts';

/** Fields that could hold a secret, wherever they turn up. */
const secrets = ['authorization', 'token', 'secret', 'password', 'cookie'];
const CENSOR = '[redacted]';
/** So far below a field they are looked for. */
const SEARCHED_LEVELS = 2;

/** Minutes of a busy server's log. */
const MAX_WAITING = 16 * 1024 * 1024;

interface LoggerOptions {
  readonly level: string;
  readonly fileDescriptor: 1 | 2;
  readonly format: LogFormat;
  /** Whether the descriptor leads to systemd's journal, which takes each line's priority from it. */
  readonly toJournal: boolean;
}

/**
 * The log of all programs (docs/logs.md), safe to show on a terminal: it holds what agents and operators send. Requests
 * are logged by method and path: a query may hold secrets.
 */
export function createLogger({ level, fileDescriptor, format, toJournal }: LoggerOptions): Logger {
  const render = (json: string): string => {
    const prefix = toJournal ? journalPrefix(levelOf(json)) : '';
    return `${prefix}${format === 'json' ? printableJson(json) : printable(humanLine(json))}\n`;
  };
  const writer = new LogWriter(fileDescriptor, {
    maxWaiting: MAX_WAITING,
    describeDropped: (lines) => {
      const message = 'log lines dropped: they were not read in time';
      return render(renderLogLine({ level: 'warn', time: new Date(), message, fields: { lines } }, 'json'));
    },
  });
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: toLogged },
      // By names alone: pino's wildcards would cost three times as much as the rest of a line.
      redact: { paths: secrets, censor: CENSOR },
      serializers: {
        // Of what Fastify logs itself; the lines of requests are RequestLog's.
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

/** In code names are in camelCase; this is where they cross. */
function toLogged(fields: Record<string, unknown>): Record<string, unknown> {
  const logged: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    // An error's serializer does it, once it has read what only an error has.
    const clean = name === 'err' ? value : withoutSecrets(value, SEARCHED_LEVELS);
    logged[name.replaceAll(/[A-Z]/g, toSnakeCase)] = clean;
  }
  return logged;
}

function toSnakeCase(letter: string): string {
  return `_${letter.toLowerCase()}`;
}

/** @returns the value itself, unless it holds a secret: a copy may not be written as the original is. */
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
