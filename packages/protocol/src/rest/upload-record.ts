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

/** The record of an upload, in all responses, lists and events. */
export const uploadRecordSchema = z
  .object({
    upload_id: uploadIdSchema,
    client_id: clientIdSchema,
    file_path: filePathSchema,
    file_name: z
      .string()
      // A server of release 0.1.0 passes on the agent's file name unchanged.
      .overwrite(savedFileName)
      .meta({
        description:
          'Sanitised last component of `file_path`: joined to a directory it is an entry of that directory on every system. Never chosen by the agent.',
      }),
    status: uploadStatusSchema,
    attempt: attemptSchema,
    version: z.int().min(1).meta({ description: 'Increases with every change; used as event id.' }),
    size: sizeBytesSchema
      .nullable()
      .meta({ description: 'Size in bytes; null until the agent has opened the file.' }),
    chunk_size: z.int().nullable(),
    part_count: z.int().nullable(),
    parts_completed: z.int(),
    bytes_uploaded: sizeBytesSchema.meta({ description: 'Bytes of stored parts.' }),
    bytes_in_flight: sizeBytesSchema.optional().meta({
      description:
        'Bytes of parts in flight that the other end of the agent’s connection (the object store, or a proxy in front of it) has acknowledged, while `uploading`; for display only. They are included in `bytes_uploaded` once their part is stored, and are sent again if it is lost. Absent if unknown, as with an agent of 0.1.0.',
    }),
    stalled_since: timestampSchema.nullable().meta({
      description:
        'Time since which no progress is possible: the agent is disconnected, the agent or the server cannot reach the object store, or the next attempt is delayed.',
    }),
    stalled_reason: z
      .string()
      .nullable()
      .default(null)
      .meta({ description: 'Reason of the stall, for people.' }),
    next_retry_at: timestampSchema
      .nullable()
      .default(null)
      .meta({ description: 'Time of the next try, if known.' }),
    on_change: changePolicySchema.default('fail'),
    limits: uploadLimitsSchema
      .nullable()
      .optional()
      .meta({ description: 'Limits given in the trigger; null if those of the client or server apply.' }),
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
    sha256: sha256HexSchema.nullable().meta({ description: 'SHA-256 of the file as read by its agent.' }),
    server_side_encryption: z.string().nullable(),
    storage_class: z.string().nullable(),
    source_modified_at: timestampSchema.nullable(),
    error: z.enum(errorCodes).nullable(),
    message: z.string().nullable(),
    cancel_requested_at: timestampSchema.nullable().optional().meta({
      description:
        'Time of a cancellation that waits for the object store; set only while `completing`. The upload ends as `cancelled` if the object is not complete, otherwise as `completed`. Absent from servers of 0.1.0.',
    }),
    requested_by: z.string(),
    reason: z.string().nullable(),
    created_at: timestampSchema,
    started_at: timestampSchema.nullable(),
    completed_at: timestampSchema
      .nullable()
      .meta({ description: 'Time at which the upload ended, with any terminal status.' }),
    expires_at: timestampSchema.meta({ description: 'Deadline: an unfinished upload ends as `expired`.' }),
    upload_duration_ms: z.int().nullable(),
  })
  .meta({ id: 'UploadRecord' });
export type UploadRecord = z.infer<typeof uploadRecordSchema>;
