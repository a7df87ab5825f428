import type { Upload } from './upload.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Younger ones were not lost to an age limit: no store or rule has one so short. */
const MIN_LIMIT_MS = HOUR_MS;

/** The multipart upload of an attempt, and the age of the last one that the store dropped. */
type Multipart = Pick<Upload, 'multipartCreatedAt' | 'lostAfterMs'>;

/** Age in milliseconds of a multipart upload found missing; null if its creation was not recorded. */
export function lostAge({ multipartCreatedAt }: Multipart, now: number): number | null {
  return multipartCreatedAt === null ? null : Math.max(0, now - multipartCreatedAt);
}

/**
 * Whether the store has an age limit that this upload cannot meet: it dropped two multipart uploads in a row, both
 * old, at about the same age. A third would take as long and end the same way.
 */
export function isLostByAge(upload: Multipart, now: number): boolean {
  const age = lostAge(upload, now);
  const before = upload.lostAfterMs;
  if (age === null || before === null || Math.min(age, before) < MIN_LIMIT_MS) return false;
  return age >= before / 2 && age <= before * 2;
}

/** Sentences for users: what the store did, and what to set. */
export function lostMessage(upload: Multipart, now: number): string {
  const age = lostAge(upload, now);
  if (age === null) return '';
  return (
    ` The multipart upload was created ${readableAge(age)} earlier; unless it was aborted by someone, the store dropped it.` +
    ' Some stores and lifecycle rules drop incomplete multipart uploads by age: MinIO after 24 hours by default' +
    ' (`mc admin config set ALIAS api stale_uploads_expiry=168h`), S3 by a rule with AbortIncompleteMultipartUpload.' +
    ' The limit must be longer than the transfer takes.'
  );
}

function readableAge(ms: number): string {
  if (ms < 2 * MINUTE_MS) return `${Math.round(ms / 1000)} s`;
  if (ms < 2 * HOUR_MS) return `${Math.round(ms / MINUTE_MS)} minutes`;
  return `${(ms / HOUR_MS).toFixed(1)} hours`;
}
