import { type S3ErrorName, s3ErrorDocument } from './s3-error-document.ts';
import type { S3Fault } from './s3-fault.ts';

export interface ErrorOptions {
  /** Instead of the usual sentence. */
  readonly message?: string;
  /** As a `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** False answers at once, while the client is still sending; what it sends is thrown away. By default true. */
  readonly afterBody?: boolean;
}

/** Answers with this error; the store is not asked. */
export function error(code: S3ErrorName, options: ErrorOptions = {}): S3Fault {
  const { message, retryAfterSeconds, afterBody = true } = options;
  const document = s3ErrorDocument(code, message);
  const headers = {
    ...document.headers,
    ...(retryAfterSeconds !== undefined && { 'Retry-After': String(retryAfterSeconds) }),
  };
  return {
    kind: `error ${code}`,
    apply: async (exchange, { tookEffect }) => {
      if (afterBody) await exchange.discardBody();
      await exchange.answer({ ...document, headers });
      tookEffect();
    },
  };
}

/** What a presigned URL past its time is answered. */
export function requestExpired(options: Pick<ErrorOptions, 'afterBody'> = {}): S3Fault {
  return { ...error('AccessDenied', { ...options, message: 'Request has expired' }), kind: 'error expired' };
}

/**
 * Answers 200 with an error as its body, as CompleteMultipartUpload may.
 *
 * @param options.afterEffect Whether the store has done it nevertheless; by default it is not asked.
 */
export function errorIn200(code: S3ErrorName, options: { afterEffect?: boolean } = {}): S3Fault {
  const { afterEffect = false } = options;
  const document = s3ErrorDocument(code);
  return {
    kind: `errorIn200 ${code}${afterEffect ? ' after effect' : ''}`,
    apply: async (exchange, { tookEffect }) => {
      if (afterEffect) {
        const answer = await exchange.forward();
        await answer.bytes();
        if (!answer.succeeded) return await exchange.relay(answer);
      } else await exchange.discardBody();
      await exchange.answer({ ...document, status: 200 });
      tookEffect();
    },
  };
}
