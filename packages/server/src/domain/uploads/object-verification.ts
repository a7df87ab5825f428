import type { KeyState, ObjectCheck, ObjectVerdict, Verification } from '@backhaul/protocol';
import type { RecordedObject } from './recorded-object.ts';
import type { Upload } from './upload.ts';

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
