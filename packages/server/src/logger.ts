import { type Logger, pino } from 'pino';

/** Fields that could hold a secret, wherever they turn up. */
const redacted = ['authorization', 'token', 'secret', 'password', 'cookie'].flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
]);

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
    pino.destination({ dest: options.fileDescriptor, sync: true }),
  );
}
