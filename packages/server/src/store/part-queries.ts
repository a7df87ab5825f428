import { sql } from 'kysely';
import type { StoredPart, PartTotals, UploadPart } from '../domain/uploads/upload.ts';
import { type Placeholders, PreparedQuery, type Queries } from './prepared-query.ts';
import { etagRows } from './sqlite-dialect.ts';

export type AnnouncedPart = Omit<UploadPart, 'etag'>;

type OfUpload = Placeholders<{ uploadId: string }>;

const selectAll = new PreparedQuery((db, { uploadId }: OfUpload) =>
  db
    .selectFrom('uploadParts')
    .select(['partNumber', 'sizeBytes', 'crc32', 'sha256', 'md5', 'etag'])
    .where('uploadId', '=', uploadId)
    .orderBy('partNumber'),
);

export function selectParts(db: Queries, uploadId: string): Promise<UploadPart[]> {
  return selectAll.all(db, { uploadId });
}

/** @returns the numbers of parts recorded with other content; nothing was written then. */
export async function announceParts(
  db: Queries,
  uploadId: string,
  parts: readonly AnnouncedPart[],
): Promise<number[]> {
  const numbers = parts.map(({ partNumber }) => partNumber);
  const known = await db
    .selectFrom('uploadParts')
    .select(['partNumber', 'sizeBytes', 'crc32', 'sha256', 'md5'])
    .where('uploadId', '=', uploadId)
    .where('partNumber', 'in', numbers)
    .execute();
  const onRecord = new Map(known.map((part) => [part.partNumber, part]));
  const differing = parts.filter((part) => {
    const known = onRecord.get(part.partNumber);
    return known !== undefined && !isSamePart(known, part);
  });
  if (differing.length > 0) return differing.map(({ partNumber }) => partNumber);
  const fresh = parts.filter(({ partNumber }) => !onRecord.has(partNumber));
  if (fresh.length > 0) {
    await db
      .insertInto('uploadParts')
      .values(fresh.map((part) => ({ uploadId, ...part, etag: null })))
      .execute();
  }
  return [];
}

/** A checksum that only one of the two has proves nothing: an agent may have learned of it between two attempts. */
function isSamePart(known: AnnouncedPart, part: AnnouncedPart): boolean {
  return (['sizeBytes', 'crc32', 'sha256', 'md5'] as const).every(
    (field) => known[field] === part[field] || known[field] === null || part[field] === null,
  );
}

const selectTotals = new PreparedQuery((db, { uploadId }: OfUpload) =>
  db
    .selectFrom('uploadParts')
    .select((select) => [
      select.fn.countAll<number>().as('partsCompleted'),
      select.fn.coalesce(select.fn.sum<number>('sizeBytes'), sql<number>`0`).as('bytesUploaded'),
    ])
    .where('uploadId', '=', uploadId)
    .where('etag', 'is not', null),
);

export async function setEtags(
  db: Queries,
  uploadId: string,
  parts: readonly { readonly partNumber: number; readonly etag: string }[],
): Promise<PartTotals> {
  await assignEtags(db, uploadId, parts);
  return selectTotals.one(db, { uploadId });
}

/** From now on only these have an ETag. */
export async function setStoredParts(
  db: Queries,
  uploadId: string,
  stored: readonly StoredPart[],
): Promise<void> {
  await db.updateTable('uploadParts').set({ etag: null }).where('uploadId', '=', uploadId).execute();
  await assignEtags(db, uploadId, stored);
}

export async function deleteParts(db: Queries, uploadId: string): Promise<void> {
  await db.deleteFrom('uploadParts').where('uploadId', '=', uploadId).execute();
}

/**
 * One statement however many parts: a message may name ten thousand. Each part is looked up by its whole key, because
 * the id comes from the JSON as well; with the id as a parameter, SQLite scans all parts of the upload and parses the
 * JSON for each, which took 21 s for ten thousand of ten thousand instead of 23 ms.
 */
async function assignEtags(
  db: Queries,
  uploadId: string,
  parts: readonly { readonly partNumber: number; readonly etag: string }[],
): Promise<void> {
  const keyed = parts.map(({ partNumber, etag }) => ({ uploadId, partNumber, etag }));
  await sql`
    update upload_parts set etag = reported.etag
    from ${etagRows(keyed)} as reported
    where upload_parts.upload_id = reported.upload_id and upload_parts.part_number = reported.part_number
  `.execute(db);
}
