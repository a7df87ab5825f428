import { type Logger, pino } from 'pino';
import { LogWriter } from './log-writer.ts';

/** Fields that could hold a secret, wherever they turn up. */
const redacted = ['authorization', 'token', 'secret', 'password', 'cookie'].flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
]);

/** Minutes of a busy server's log. */
const MAX_WAITING = 16 * 1024 * 1024;

/** JSON lines. Requests are logged by method and path: a query may hold what nobody meant to log. */
export function createLogger(options: { level: string; fileDescriptor: 1 | 2 }): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      redact: { paths: redacted, censor: '[redacted]' },
      serializers: {
        req: (request: { method: string; url: string; ip?: string }) => ({
          method: request.method,
          path: request.url.split('?', 1)[0],
          remoteAddress: request.ip,
        }),
      },
    },
    new LogWriter(options.fileDescriptor, { maxWaiting: MAX_WAITING }),
  );
}
