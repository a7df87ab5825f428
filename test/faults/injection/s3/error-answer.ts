import { type S3ErrorName, s3ErrorDocument } from './s3-error-document.ts';
import type { S3Fault } from './s3-fault.ts';

export interface ErrorOptions {
  /** Replaces the usual message. */
  readonly message?: string;
  /** Value of the `Retry-After` header. */
  readonly retryAfterSeconds?: number;
  /** If false, responds at once while the client is still sending, and discards its bytes. By default true. */
  readonly afterBody?: boolean;
}

/** Responds with this error without calling the store. */
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

/** Response to an expired presigned URL. */
export function requestExpired(options: Pick<ErrorOptions, 'afterBody'> = {}): S3Fault {
  return { ...error('AccessDenied', { ...options, message: 'Request has expired' }), kind: 'error expired' };
}

/**
 * Responds 200 with an error in the body, as CompleteMultipartUpload may.
 *
 * @param options.afterEffect Whether the store completes the request first; by default it is not called.
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
