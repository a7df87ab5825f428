import { randomUUID } from 'node:crypto';
import type {
  MultipartUpload,
  PartToSign,
  SignedWindow,
} from '../../../packages/server/src/domain/ports/bucket.ts';
import type { Clock } from '../../../packages/server/src/domain/ports/clock.ts';
import type { S3Requests } from './s3-requests.ts';
import type { S3State } from './s3-state.ts';
import { type Content, crc32Of, sizeBytesOf } from '../agent/simulated-file.ts';
import type { Coverage } from '../coverage.ts';
import type { InvariantChecker } from '../invariant-checker.ts';

const URL_LIFETIME_MS = 900_000;

/** What a URL permits: one PUT of this part with these bytes. */
interface Binding extends PartToSign {
  readonly s3UploadId: string;
  readonly expiresAt: number;
}

interface PartUrlsEnv {
  readonly clock: Clock;
  readonly coverage: Coverage;
  readonly checker: InvariantChecker;
}

export type PutResponse =
  | { readonly status: 'stored'; readonly etag: string }
  | { readonly status: 'unavailable' | 'expired' | 'bad_digest' | 'missing' };

/** The store's side of presigned URLs. */
export class PartUrls {
  readonly #state: S3State;
  readonly #requests: S3Requests;
  readonly #clock: Clock;
  readonly #coverage: Coverage;
  readonly #checker: InvariantChecker;
  readonly #bindings = new Map<string, Binding>();
  readonly #signedFor = new Map<string, string>();

  constructor(state: S3State, requests: S3Requests, env: PartUrlsEnv) {
    this.#state = state;
    this.#requests = requests;
    this.#clock = env.clock;
    this.#coverage = env.coverage;
    this.#checker = env.checker;
  }

  sign({ s3UploadId }: MultipartUpload, parts: readonly PartToSign[]): SignedWindow {
    const expiresAt = this.#clock.now() + URL_LIFETIME_MS;
    const urls = parts.map((part) => {
      const url = `https://s3.test/${randomUUID()}`;
      this.#bindings.set(url, { ...part, s3UploadId, expiresAt });
      const partId = `${s3UploadId}/${part.partNumber}`;
      const signedFor = this.#signedFor.get(partId) ?? part.crc32;
      if (signedFor !== part.crc32) this.#checker.report(`part ${partId} was signed for two versions`);
      this.#signedFor.set(partId, part.crc32);
      return {
        part_number: part.partNumber,
        url,
        headers: { 'x-amz-checksum-crc32': part.crc32 },
      };
    });
    return { urls, expiresAt };
  }

  /** The checksum that this part of the upload must have. */
  signedFor(s3UploadId: string, partNumber: number): string | undefined {
    return this.#signedFor.get(`${s3UploadId}/${partNumber}`);
  }

  binding(url: string): Binding {
    const binding = this.#bindings.get(url);
    if (binding === undefined) throw new Error('the URL was never signed');
    return binding;
  }

  /** Starts the request and checks its signature. @returns the store's response once all bytes have arrived. */
  begin(url: string): (content: Content) => PutResponse {
    const { s3UploadId, partNumber, sizeBytes, crc32, expiresAt } = this.binding(url);
    const isExpired = this.#clock.now() >= expiresAt;
    const wasThere = this.#state.uploads.has(s3UploadId);
    return (content) => {
      if (this.#requests.isDown) return { status: 'unavailable' };
      if (isExpired) {
        this.#coverage.count('PUT with an expired URL');
        return { status: 'expired' };
      }
      if (sizeBytesOf(content) !== sizeBytes || crc32Of(content) !== crc32) {
        this.#coverage.count('PUT refused for its checksum');
        return { status: 'bad_digest' };
      }
      // Opaque, and different for every PUT, as with SSE-KMS.
      const part = { etag: `"${randomUUID()}"`, content };
      const upload = this.#state.uploads.get(s3UploadId);
      if (upload !== undefined) {
        const replaced = upload.parts.get(partNumber);
        if (replaced !== undefined && crc32Of(replaced.content) !== crc32) {
          this.#coverage.count('stored part rotted, and sent again');
        }
        upload.parts.set(partNumber, part);
        return { status: 'stored', etag: part.etag };
      }
      // An abort does not stop a PUT in flight (S3, AbortMultipartUpload).
      if (wasThere && this.#state.landAfterAbort(s3UploadId, partNumber, part)) {
        this.#coverage.count('PUT landed after the abort of its upload');
        return { status: 'stored', etag: part.etag };
      }
      return { status: 'missing' };
    };
  }
}
