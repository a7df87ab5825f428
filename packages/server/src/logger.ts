import { type Logger, pino } from 'pino';

/** Fields that could hold a secret, wherever they turn up. */
const redacted = ['authorization', 'token', 'secret', 'password', 'cookie'].flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
]);

/** Characters that may wait for whoever reads the log; what comes beyond them is dropped. */
const MAX_WAITING = 16 * 1024 * 1024;

/**
 * JSON lines. Requests are logged by method and path: a query may hold what nobody meant to log.
 *
 * They are written behind: a pipe whose reader is slow would otherwise stop the whole server, 100 ms at a time, or for
 * as long as the reader does. A process that is killed takes the last milliseconds of its log along.
 */
export function createLogger(options: { level: string; fileDescriptor: 1 | 2 }): Logger {
  const destination = pino.destination({
    dest: options.fileDescriptor,
    sync: false,
    maxLength: MAX_WAITING,
  });
  const logger = pino(
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
    destination,
  );
  let dropped = 0;
  destination.on('drop', () => {
    dropped += 1;
  });
  destination.on('drain', () => {
    if (dropped === 0) return;
    const lines = dropped;
    dropped = 0;
    logger.warn({ lines }, 'log lines dropped: what reads them was too slow');
  });
  return logger;
}
