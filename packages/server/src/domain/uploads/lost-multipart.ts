import type { Upload } from './upload.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Younger ones are not lost to a limit of age: no store or rule has one so short. */
const MIN_LIMIT_MS = HOUR_MS;

/** The multipart upload of an attempt, and how old the last one was that the store dropped. */
type Multipart = Pick<Upload, 'multipartCreatedAt' | 'lostAfterMs'>;

/** How old a multipart upload is that is found to be gone, in milliseconds; null if its beginning is on no record. */
export function lostAge({ multipartCreatedAt }: Multipart, now: number): number | null {
  return multipartCreatedAt === null ? null : Math.max(0, now - multipartCreatedAt);
}

/**
 * Whether the store has a limit that this upload cannot keep: it dropped two multipart uploads in a row, both old, at
 * about the same age. A third would take as long and end the same way.
 */
export function isLostByAge(upload: Multipart, now: number): boolean {
  const age = lostAge(upload, now);
  const before = upload.lostAfterMs;
  if (age === null || before === null || Math.min(age, before) < MIN_LIMIT_MS) return false;
  return age >= before / 2 && age <= before * 2;
}

/** For people: what the store did, and what to set. */
export function lostMessage(upload: Multipart, now: number): string {
  const age = lostAge(upload, now);
  if (age === null) return '';
  return (
    ` The multipart upload was created ${readableAge(age)} before; unless somebody aborted it, the store dropped it.` +
    ' Stores and lifecycle rules that drop incomplete multipart uploads by age do that: MinIO after 24 hours by default' +
    ' (`mc admin config set ALIAS api stale_uploads_expiry=168h`), S3 by a rule AbortIncompleteMultipartUpload.' +
    ' The limit has to be longer than the transfer takes.'
  );
}

function readableAge(ms: number): string {
  if (ms < 2 * MINUTE_MS) return `${Math.round(ms / 1000)} s`;
  if (ms < 2 * HOUR_MS) return `${Math.round(ms / MINUTE_MS)} minutes`;
  return `${(ms / HOUR_MS).toFixed(1)} hours`;
}
