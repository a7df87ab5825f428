import type { KeyState } from '@backhaul/protocol';
import type { Bucket, CallOptions, ObjectFacts } from '../ports/bucket.ts';
import type { Upload } from './upload.ts';

/** Id of what was written to a key before its bucket kept versions, or while it does not. */
const UNVERSIONED = 'null';

/** What the bucket has of a completed upload now. */
export interface RecordedObject {
  /** The upload's own object, whether its key still shows it or not; undefined once it is gone. */
  readonly own: ObjectFacts | undefined;
  /** What the key shows; undefined: nothing. */
  readonly current: ObjectFacts | undefined;
  readonly keyState: KeyState;
}

/**
 * Looks for the object that an upload made. In a bucket that keeps versions somebody may have deleted the key or
 * written to it since: then the recorded version is asked for by its id.
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
  // A copy of the object onto itself has the token too, and another version id.
  const isRecorded = isOwn(current) && (versionId ?? current?.versionId) === current?.versionId;
  if (isRecorded) return { own: current, current, keyState: 'recorded' };
  const keyState = current === undefined ? 'nothing' : 'other';
  // The bucket may keep versions only since the upload completed.
  const recorded = versionId ?? ((current?.versionId ?? null) === null ? null : UNVERSIONED);
  const found = recorded === null ? undefined : await bucket.head(key, { ...options, versionId: recorded });
  if (isOwn(found)) return { own: found, current, keyState };
  // Of a store that stopped keeping versions the ids tell nothing, and the token all.
  return { own: isOwn(current) ? current : undefined, current, keyState };
}

/** For people: why there is nothing to fetch. */
export function goneMessage({ uploadId, versionId }: Upload, { keyState }: RecordedObject): string {
  const what =
    versionId === null
      ? `The object of upload ${uploadId} is no longer at its key`
      : `The object of upload ${uploadId} is no longer in the bucket, nor is its recorded version ${versionId}`;
  return keyState === 'other' ? `${what}; another object is at its key now.` : `${what}.`;
}
