import { z } from 'zod';
import { changePolicySchema } from '../change-policy.ts';
import { checksumModeSchema, sha256HexSchema, verificationSchema } from '../checksums.ts';
import { errorCodes } from '../error-table.ts';
import { savedFileName } from '../file-name.ts';
import {
  attemptSchema,
  clientIdSchema,
  filePathSchema,
  sizeBytesSchema,
  timestampSchema,
  uploadIdSchema,
} from '../identifiers.ts';
import { uploadLimitsSchema } from '../upload-limits.ts';
import { uploadStatusSchema } from '../upload-status.ts';

/** The same everywhere: answers, lists, events. */
export const uploadRecordSchema = z
  .object({
    upload_id: uploadIdSchema,
    client_id: clientIdSchema,
    file_path: filePathSchema,
    file_name: z
      .string()
      // A server of release 0.1.0 passes on what the agent said.
      .overwrite(savedFileName)
      .meta({
        description:
          'Last component of `file_path`, made safe: joined to a directory it is an entry of that directory, on every system. Never the agent’s choice.',
      }),
    status: uploadStatusSchema,
    attempt: attemptSchema,
    version: z.int().min(1).meta({ description: 'Grows with every change; the event id.' }),
    size: sizeBytesSchema
      .nullable()
      .meta({ description: 'Bytes; null until the agent has opened the file.' }),
    chunk_size: z.int().nullable(),
    part_count: z.int().nullable(),
    parts_completed: z.int(),
    bytes_uploaded: sizeBytesSchema.meta({ description: 'Bytes that the object store has acknowledged.' }),
    bytes_in_flight: sizeBytesSchema.optional().meta({
      description:
        'Bytes of parts on their way that the other end of the agent’s connection (the object store, or a proxy before it) has acknowledged, while `uploading`; for display only. They count in `bytes_uploaded` once their part is stored, and are sent again if it is cut off. Absent: not known, as from an agent of 0.1.0.',
    }),
    stalled_since: timestampSchema.nullable().meta({
      description:
        'Since when nothing moves: the agent is away, it or the server cannot reach the object store, or the next attempt has to wait.',
    }),
    stalled_reason: z
      .string()
      .nullable()
      .default(null)
      .meta({ description: 'Why nothing moves, for a person.' }),
    next_retry_at: timestampSchema
      .nullable()
      .default(null)
      .meta({ description: 'When it is tried again, where that has a time.' }),
    on_change: changePolicySchema.default('fail'),
    limits: uploadLimitsSchema
      .nullable()
      .optional()
      .meta({ description: 'What its trigger asked for; null for those of its client and of the server.' }),
    bucket: z.string(),
    key: z.string(),
    etag: z.string().nullable(),
    version_id: z.string().nullable(),
    checksum: z
      .object({
        algorithm: z.enum(['crc32']),
        type: z.enum(['full_object']),
        value: z.string(),
      })
      .nullable()
      .meta({ description: 'Checksum of the whole object, base64, combined from its parts.' }),
    checksum_mode: checksumModeSchema.nullable(),
    verification: verificationSchema.nullable(),
    sha256: sha256HexSchema.nullable().meta({ description: 'Of the file, as its agent read it.' }),
    server_side_encryption: z.string().nullable(),
    storage_class: z.string().nullable(),
    source_modified_at: timestampSchema.nullable(),
    error: z.enum(errorCodes).nullable(),
    message: z.string().nullable(),
    cancel_requested_at: timestampSchema.nullable().optional().meta({
      description:
        'When a cancel was asked for that waits for the object store: only while `completing`. The upload ends as `cancelled` if it is not complete there, else as `completed`. Servers of 0.1.0 have none.',
    }),
    requested_by: z.string(),
    reason: z.string().nullable(),
    created_at: timestampSchema,
    started_at: timestampSchema.nullable(),
    completed_at: timestampSchema
      .nullable()
      .meta({ description: 'When the upload ended, however it ended.' }),
    expires_at: timestampSchema.meta({ description: 'An upload not finished by then ends as `expired`.' }),
    upload_duration_ms: z.int().nullable(),
  })
  .meta({ id: 'UploadRecord' });
export type UploadRecord = z.infer<typeof uploadRecordSchema>;
