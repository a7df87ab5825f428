import type { KeyState, ObjectCheck, ObjectVerdict, Verification } from '@backhaul/protocol';
import type { RecordedObject } from './recorded-object.ts';
import type { Upload } from './upload.ts';

/** What a HEAD, at any later time, tells about the object of a completed upload. */
export interface ObjectFinding {
  readonly verdict: ObjectVerdict;
  /** How much could be compared; null without an object. */
  readonly verification: Verification | null;
  readonly checks: ObjectCheck[];
  /** Whether the key still shows that object: where a bucket keeps versions, both can be there. */
  readonly keyState: KeyState;
}

/** The rule. Pure; the token is compared but never shown. */
export function judgeObject(upload: Upload, { own, current, keyState }: RecordedObject): ObjectFinding {
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
    verification: howSure(upload, { crc32, etag }),
    checks,
    keyState,
  };
}

/** What one side lacks cannot be compared. Some stores give an empty ETag. */
function compare(
  name: Exclude<ObjectCheck['name'], 'token'>,
  expected: string | null,
  found: string | null,
): ObjectCheck {
  const isComparable = (expected ?? '') !== '' && (found ?? '') !== '';
  return { name, ok: isComparable ? expected === found : null, expected, found };
}

/** An ETag only says that this is still the object which completed: no surer than the upload was then. */
function howSure(
  { verification }: Upload,
  { crc32, etag }: { readonly crc32: ObjectCheck; readonly etag: ObjectCheck },
): Verification {
  if (crc32.ok !== null) return 'full_object';
  return etag.ok !== null && verification !== 'size_only' ? 'parts' : 'size_only';
}
