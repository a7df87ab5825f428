import type { KeyState } from '@backhaul/protocol';
import type { Bucket, CallOptions, ObjectFacts } from '../ports/bucket.ts';
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
