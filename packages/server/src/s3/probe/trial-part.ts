import { createHash, randomFillSync } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { PresignedPart } from '@backhaul/protocol';
import type { CallOptions } from '../../domain/ports/bucket.ts';
import { requestWhole, type WholeRequest } from '../../request-whole.ts';
import type { S3Connection } from '../s3-connection.ts';

export interface TrialBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Base64. */
  readonly checksums: { readonly crc32: string; readonly sha256: string; readonly md5: string };
}

/** Random, so that no two are alike; of one length by default, so that only checksums distinguish them. */
export function trialBody(sizeBytes = 64): TrialBody {
  const bytes = randomFillSync(new Uint8Array(sizeBytes));
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(bytes));
  return {
    bytes,
    checksums: {
      crc32: crc.toString('base64'),
      sha256: createHash('sha256').update(bytes).digest('base64'),
      md5: createHash('md5').update(bytes).digest('base64'),
    },
  };
}

/** An HTTP error response outside the SDK, in the shape of the SDK's errors, so that one table classifies both. */
export class RefusedPut extends Error {
  override readonly name: string;
  readonly $metadata: { readonly httpStatusCode: number };
  readonly $response: { readonly headers: { readonly date: string | undefined } };

  constructor({ status, headers }: Response, body: string) {
    super(/<Message>([^<]*)<\/Message>/.exec(body)?.[1] ?? `HTTP ${status}`);
    this.name = /<Code>([^<]+)<\/Code>/.exec(body)?.[1] ?? 'Unknown';
    this.$metadata = { httpStatusCode: status };
    this.$response = { headers: { date: headers.get('date') ?? undefined } };
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
  part: PresignedPart,
  { body, signal }: CallOptions & { body: Uint8Array },
): Promise<string> {
  return connection.call(
    'UploadPart',
    async (abortSignal) => putOnce(part, body, { signal: abortSignal, proxies: connection.settings.proxies }),
    { signal },
  );
}

/**
 * Sends one PUT without classifying errors.
 *
 * @returns the ETag.
 * @throws RefusedPut; Node's error when no response came; the signal's reason.
 */
export async function putOnce(
  { url, headers }: PresignedPart,
  body: Uint8Array,
  { signal, proxies }: Pick<WholeRequest, 'signal' | 'proxies'>,
): Promise<string> {
  const answer = await requestWhole(url, { method: 'PUT', headers, body, signal, proxies });
  const text = await answer.text();
  if (!answer.ok) throw new RefusedPut(answer, text);
  return answer.headers.get('etag') ?? '';
}
