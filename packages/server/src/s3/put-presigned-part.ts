import type { PresignedPart } from '@backhaul/protocol';
import type { CallOptions } from '../domain/ports/bucket.ts';
import type { S3Connection } from './s3-connection.ts';

/** An answer outside the SDK, in the shape of the SDK's errors, so that one table judges both. */
class RefusedPut extends Error {
  override readonly name: string;
  readonly $metadata: { readonly httpStatusCode: number };

  constructor(status: number, body: string) {
    super(/<Message>([^<]*)<\/Message>/.exec(body)?.[1] ?? `HTTP ${status}`);
    this.name = /<Code>([^<]+)<\/Code>/.exec(body)?.[1] ?? 'Unknown';
    this.$metadata = { httpStatusCode: status };
  }
}

/**
 * PUTs one part as an agent does.
 *
 * @returns the ETag.
 * @throws BucketError
 */
export async function putPresignedPart(
  connection: S3Connection,
  { url, headers }: PresignedPart,
  options: CallOptions & { body: Uint8Array<ArrayBuffer> },
): Promise<string> {
  const { body, signal } = options;
  return connection.call(
    'UploadPart',
    async (_, { abortSignal }) => {
      try {
        const answer = await fetch(url, {
          method: 'PUT',
          headers,
          body,
          redirect: 'manual',
          signal: abortSignal,
        });
        const text = await answer.text();
        if (!answer.ok) throw new RefusedPut(answer.status, text);
        return answer.headers.get('etag') ?? '';
      } catch (error) {
        // fetch hides what happened to the connection.
        throw error instanceof TypeError && error.cause instanceof Error ? error.cause : error;
      }
    },
    { signal },
  );
}
