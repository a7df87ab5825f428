import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import type { PartTotals, UploadPart } from '../domain/uploads/upload.ts';
import type { Queries } from './queries.ts';
import type { Schema } from './schema.ts';

export type AnnouncedPart = Omit<UploadPart, 'etag'>;

export function selectParts(db: Queries, uploadId: string): Promise<UploadPart[]> {
  return db
    .selectFrom('uploadParts')
    .select(['partNumber', 'sizeBytes', 'crc32', 'sha256', 'md5', 'etag'])
    .where('uploadId', '=', uploadId)
    .orderBy('partNumber')
    .execute();
}

export async function upsertParts(
  db: Queries,
  uploadId: string,
  parts: readonly AnnouncedPart[],
): Promise<void> {
  for (const part of parts) {
    await db
      .insertInto('uploadParts')
      .values({ uploadId, ...part, etag: null })
      .onConflict((conflict) =>
        conflict.columns(['uploadId', 'partNumber']).doUpdateSet((update) => ({
          sizeBytes: part.sizeBytes,
          crc32: part.crc32,
          sha256: part.sha256,
          md5: part.md5,
          // Announced again for a fresh URL, it is still the part S3 has; with other bytes it is not.
          etag: sql`case when ${isSamePart(update, part)} then ${update.ref('uploadParts.etag')} end`,
        })),
      )
      .execute();
  }
}

function isSamePart(
  update: ExpressionBuilder<Schema, 'uploadParts'>,
  { sizeBytes, crc32, sha256, md5 }: AnnouncedPart,
): Expression<SqlBool> {
  return update.and([
    update('uploadParts.sizeBytes', '=', sizeBytes),
    update('uploadParts.crc32', '=', crc32),
    update('uploadParts.sha256', 'is not distinct from', sha256),
    update('uploadParts.md5', 'is not distinct from', md5),
  ]);
}

export async function setEtags(
  db: Queries,
  uploadId: string,
  parts: readonly { readonly partNumber: number; readonly etag: string }[],
): Promise<PartTotals> {
  // One statement however many parts: a message may name ten thousand.
  await sql`
    update upload_parts set etag = reported.etag
    from (
      select value ->> 'partNumber' as part_number, value ->> 'etag' as etag
      from json_each(${JSON.stringify(parts)})
    ) as reported
    where upload_parts.upload_id = ${uploadId} and upload_parts.part_number = reported.part_number
  `.execute(db);
  return db
    .selectFrom('uploadParts')
    .select((select) => [
      select.fn.countAll<number>().as('partsCompleted'),
      select.fn.coalesce(select.fn.sum<number>('sizeBytes'), sql<number>`0`).as('bytesUploaded'),
    ])
    .where('uploadId', '=', uploadId)
    .where('etag', 'is not', null)
    .executeTakeFirstOrThrow();
}

export async function deleteParts(db: Queries, uploadId: string): Promise<void> {
  await db.deleteFrom('uploadParts').where('uploadId', '=', uploadId).execute();
}
