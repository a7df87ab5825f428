import { writeSync } from 'node:fs';
import { journalPrefix, type LogFormat, type LogLevel, logLevels, renderLogLine } from '@backhaul/program';
import { printable, printableJson } from '@backhaul/protocol';
import { type Logger, pino } from 'pino';

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

/** Pause after a slow reader's kernel buffer was full. */
const READER_PAUSE_MS = 5;
/** Pause after a write error: a full disk (may recover) or a reader that has exited (does not). */
const FAULT_PAUSE_MS = 1000;
/** Maximum time to flush at exit when the reader is stuck. */
const MAX_EXIT_FLUSH_MS = 1000;

interface LogWriterOptions {
  /** Queue limit in characters (bytes once encoded). Lines beyond it are dropped and counted in a line of their own. */
  readonly maxWaiting: number;
  /** Renders the line, with its line feed, that reports how many were dropped. */
  readonly describeDropped: (lines: number) => string;
}

/**
 * Writes log lines to standard output or error once per turn of the event loop, and never blocks on the reader: a
 * full pipe, a full disk or a reader that has exited stops neither the server nor its shutdown. Queued lines are lost
 * if the process is killed; at any other exit they are flushed.
 */
export class LogWriter {
  readonly #fileDescriptor: 1 | 2;
  readonly #options: LogWriterOptions;
  #lines: string[] = [];
  /** Characters in `#lines`. */
  #queued = 0;
  /** Bytes of a partial write that the kernel has not accepted yet. */
  #rest = Buffer.alloc(0);
  #dropped = 0;
  #isScheduled = false;

  constructor(fileDescriptor: 1 | 2, options: LogWriterOptions) {
    this.#fileDescriptor = fileDescriptor;
    this.#options = options;
    // Creating the stream makes a pipe non-blocking; otherwise a write to a full pipe would block the process.
    void (fileDescriptor === 1 ? process.stdout : process.stderr);
    process.on('exit', () => this.#finish());
  }

  /** @param line Ends with a line feed. */
  write(line: string): void {
    if (this.#queued + this.#rest.length + line.length > this.#options.maxWaiting) {
      this.#dropped += 1;
      return;
    }
    this.#enqueue(line);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#flush());
  }

  #enqueue(line: string): void {
    this.#lines.push(line);
    this.#queued += line.length;
  }

  /** Writes as much as the kernel accepts now, and schedules the rest. */
  #flush(): void {
    const pauseMs = this.#writeAll();
    this.#isScheduled = pauseMs !== null;
    // Unreferenced: the log does not keep the process alive, and the exit handler tries once more.
    if (pauseMs !== null) setTimeout(() => this.#flush(), pauseMs).unref();
  }

  /** @returns null once all is written, otherwise the delay until the next attempt in milliseconds. */
  #writeAll(): number | null {
    try {
      while (this.#queued + this.#rest.length + this.#dropped > 0) this.#writeSome();
      return null;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? READER_PAUSE_MS : FAULT_PAUSE_MS;
    }
  }

  #writeSome(): void {
    if (this.#rest.length === 0) {
      if (this.#dropped > 0) this.#reportDropped();
      this.#rest = Buffer.from(this.#lines.join(''));
      this.#lines = [];
      this.#queued = 0;
    }
    this.#rest = this.#rest.subarray(writeSync(this.#fileDescriptor, this.#rest));
  }

  /** Queued after the stored lines. */
  #reportDropped(): void {
    this.#enqueue(this.#options.describeDropped(this.#dropped));
    this.#dropped = 0;
  }

  #finish(): void {
    const deadline = performance.now() + MAX_EXIT_FLUSH_MS;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (this.#writeAll() === READER_PAUSE_MS && performance.now() < deadline) {
      Atomics.wait(pause, 0, 0, READER_PAUSE_MS);
    }
  }
}
