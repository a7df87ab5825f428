import {
  BackhaulError,
  type KeyState,
  type ObjectCheck,
  type ObjectVerdict,
  type Verification,
} from '@backhaul/protocol';
import type { Bucket, CallOptions, ObjectFacts } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { RequestOrigin, Store } from '../ports/store.ts';
import type { UploadLedger } from './ledger.ts';
import { withStoreDeadline } from './bucket-outage.ts';
import type { Upload } from './upload.ts';

/** Version id of objects written while their bucket is not versioned. */
const UNVERSIONED = 'null';

/** The current state of a completed upload's object in the bucket. */
export interface RecordedObject {
  /** The upload's own object, whether its key still shows it or not; undefined if it no longer exists. */
  readonly own: ObjectFacts | undefined;
  /** The object that the key shows; undefined if none. */
  readonly current: ObjectFacts | undefined;
  readonly keyState: KeyState;
}

/**
 * Finds the object that an upload created. In a versioned bucket the key may have been deleted or overwritten since:
 * then the recorded version is requested by its id.
 *
 * @throws BucketError
 */
export async function findRecordedObject(
  bucket: Pick<Bucket, 'head'>,
  { key, versionId, objectToken }: Upload,
  options: CallOptions = {},
): Promise<RecordedObject> {
  const isOwn = (object: ObjectFacts | undefined): boolean =>
    object !== undefined && object.token !== null && object.token === objectToken;
  const current = await bucket.head(key, options);
  // A copy of the object onto itself has the token too, but another version id.
  const isRecorded = isOwn(current) && (versionId ?? current?.versionId) === current?.versionId;
  if (isRecorded) return { own: current, current, keyState: 'recorded' };
  const keyState = current === undefined ? 'nothing' : 'other';
  // The bucket may have been versioned only after the upload completed.
  const recorded = versionId ?? ((current?.versionId ?? null) === null ? null : UNVERSIONED);
  const found = recorded === null ? undefined : await bucket.head(key, { ...options, versionId: recorded });
  if (isOwn(found)) return { own: found, current, keyState };
  // If versioning was suspended the ids prove nothing, but the token does.
  return { own: isOwn(current) ? current : undefined, current, keyState };
}

/** Sentence for users: why there is nothing to fetch. */
export function missingObjectMessage({ uploadId, versionId }: Upload, { keyState }: RecordedObject): string {
  const what =
    versionId === null
      ? `The object of upload ${uploadId} is no longer at its key`
      : `The object of upload ${uploadId} is no longer in the bucket, nor is its recorded version ${versionId}`;
  return keyState === 'other' ? `${what}; another object is at its key now.` : `${what}.`;
}

/** Result of a later HEAD of a completed upload's object. */
export interface VerificationResult {
  readonly verdict: ObjectVerdict;
  /** How much could be compared; null without an object. */
  readonly verification: Verification | null;
  readonly checks: ObjectCheck[];
  /** Whether the key still shows that object: in a versioned bucket both can exist. */
  readonly keyState: KeyState;
}

/** Pure function; the token is compared but never shown. */
export function verifyObject(upload: Upload, { own, current, keyState }: RecordedObject): VerificationResult {
  const object = own ?? current;
  if (object === undefined) return { verdict: 'missing', verification: null, checks: [], keyState };
  const token = {
    name: 'token',
    ok: object.token === upload.objectToken,
    expected: null,
    found: null,
  } as const;
  const crc32 = compare('crc32', upload.crc32, object.crc32);
  const etag = compare('etag', upload.etag, object.etag);
  const checks = [
    token,
    compare('size', upload.sizeBytes?.toString() ?? null, object.sizeBytes.toString()),
    crc32,
    etag,
    compare('version_id', upload.versionId, object.versionId),
  ];
  return {
    verdict: checks.some(({ ok }) => ok === false) ? 'altered' : 'intact',
    verification: verificationLevel(upload, { crc32, etag }),
    checks,
    keyState,
  };
}

/** A value missing on either side cannot be compared. Some stores return an empty ETag. */
function compare(
  name: Exclude<ObjectCheck['name'], 'token'>,
  expected: string | null,
  found: string | null,
): ObjectCheck {
  const isComparable = (expected ?? '') !== '' && (found ?? '') !== '';
  return { name, ok: isComparable ? expected === found : null, expected, found };
}

/** An ETag only shows that this is still the object that completed: the level cannot exceed the upload's own. */
function verificationLevel(
  { verification }: Upload,
  { crc32, etag }: { readonly crc32: ObjectCheck; readonly etag: ObjectCheck },
): Verification {
  if (crc32.ok !== null) return 'full_object';
  return etag.ok !== null && verification !== 'size_only' ? 'parts' : 'size_only';
}

export interface ObjectReport extends VerificationResult {
  readonly uploadId: string;
  /** Milliseconds since the epoch. */
  readonly checkedAt: number;
}

interface ObjectVerifierDeps {
  readonly store: Pick<Store, 'appendAudit'>;
  readonly ledger: Pick<UploadLedger, 'get'>;
  readonly bucket: Pick<Bucket, 'head'>;
  readonly clock: Clock;
}

/** Compares the objects of completed uploads with their records on request. Changes nothing. */
export class ObjectVerifier {
  readonly #deps: ObjectVerifierDeps;

  constructor(deps: ObjectVerifierDeps) {
    this.#deps = deps;
  }

  /**
   * @param by The operator, for the audit.
   * @throws BackhaulError `upload_not_found`, `upload_not_completed`; `storage_unavailable` after 10 s at most
   * @throws BucketError if the store refuses the request.
   */
  async verify(uploadId: string, by: string, { from }: RequestOrigin = {}): Promise<ObjectReport> {
    const upload = await this.#deps.ledger.get(uploadId);
    if (upload.status !== 'completed') {
      throw new BackhaulError(
        'upload_not_completed',
        `Upload ${uploadId} is ${upload.status}; it has no finished object.`,
      );
    }
    const found = await withStoreDeadline((signal) =>
      findRecordedObject(this.#deps.bucket, upload, { signal }),
    );
    const result = verifyObject(upload, found);
    const checkedAt = this.#deps.clock.now();
    await this.#deps.store.appendAudit({
      at: checkedAt,
      actor: by,
      address: from,
      action: 'upload.verify',
      clientId: upload.clientId,
      uploadId,
      detail: { verdict: result.verdict, keyState: result.keyState },
    });
    return { uploadId, ...result, checkedAt };
  }
}
