import { z } from 'zod';
import { errorCodes } from '../errors.ts';
import {
  attemptSchema,
  checksumModeSchema,
  clientIdSchema,
  filePathSchema,
  pageFields,
  sha256HexSchema,
  sizeBytesSchema,
  timestampSchema,
  uploadIdSchema,
} from '../fields.ts';
import { savedFileName } from '../file-path.ts';
import { changePolicySchema } from '../file-version.ts';
import type { Opened } from './open-response.ts';
import { uploadLimitsRequestSchema, uploadLimitsSchema } from '../upload-limits.ts';

/** Statuses in the order of an upload's life cycle. */
export const uploadStatuses = [
  'queued',
  'preparing',
  'uploading',
  'completing',
  'completed',
  'failed',
  'cancelled',
  'expired',
] as const;

const uploadStatusSchema = z.enum(uploadStatuses).meta({
  description:
    '`queued` (accepted; agent disconnected or busy) → `preparing` → `uploading` → `completing` → `completed`. Also ends as `failed`, `cancelled` or `expired`.',
});
export type UploadStatus = z.infer<typeof uploadStatusSchema>;

const terminalStatuses = ['completed', 'failed', 'cancelled', 'expired'] as const satisfies UploadStatus[];
type TerminalStatus = (typeof terminalStatuses)[number];

/** A terminal status is final, except that a failed, cancelled or expired upload can be retried as a new attempt. */
export function isTerminal(status: string): status is TerminalStatus {
  return (terminalStatuses as readonly string[]).includes(status);
}

/** Whether the upload has ended, also if a later version of the server has added the status. */
export function hasEnded({
  status,
  completed_at: at,
}: Pick<UploadRecord, 'status' | 'completed_at'>): boolean {
  return (uploadStatuses as readonly string[]).includes(status) ? isTerminal(status) : at !== null;
}

/** Default of `expires_in`: 24 h. */
export const DEFAULT_EXPIRES_IN_SECONDS = 86_400;
/** Maximum of `expires_in`: 30 days. */
export const MAX_EXPIRES_IN_SECONDS = 2_592_000;

/** Behaviour if the agent is not connected. */
export const offlinePolicySchema = z.enum(['queue', 'fail']).meta({
  description:
    'If the agent is not connected: `queue` (default) accepts the upload, which then waits for the agent; `fail` returns 409 `client_offline` and records nothing.',
});
export type OfflinePolicy = z.infer<typeof offlinePolicySchema>;

/** Body of `POST /trigger-download/{client_id}`. Unknown fields are refused, so that a typo is an error. */
export const triggerRequestSchema = z
  .strictObject({
    file_path: filePathSchema
      .optional()
      .meta({ description: "Path of the file. Default: the agent's `--file`." }),
    reason: z.string().min(1).max(500).optional().meta({ description: 'Reason, recorded in the audit log.' }),
    expires_in: z
      .int()
      .min(1)
      .max(MAX_EXPIRES_IN_SECONDS)
      .optional()
      .meta({
        description: `Seconds until the upload ends as \`expired\`, including the wait for its agent. Default: ${DEFAULT_EXPIRES_IN_SECONDS} (24 h).`,
        example: 3600,
      }),
    offline: offlinePolicySchema.optional(),
    on_change: changePolicySchema.optional(),
    limits: uploadLimitsRequestSchema.optional().meta({
      description:
        'Limits of this upload; they override those of its client and of the server. If the agent is too old to apply them, the request fails with `not_supported`.',
    }),
    force: z.boolean().optional().meta({
      description:
        'If true, never join an unfinished upload of the same file with the same `on_change` and `limits`. By default such an upload is returned, and its deadline is extended if this request’s is later.',
    }),
  })
  // Without an example, API explorers propose all fields, including `force`.
  .meta({ id: 'TriggerRequest', examples: [{ file_path: '/data/report.bin', reason: 'monthly report' }] });
export type TriggerRequest = z.infer<typeof triggerRequestSchema>;

/** Maximum of `Prefer: wait=N`, in seconds. */
export const MAX_WAIT_SECONDS = 300;

const verificationSchema = z.enum(['full_object', 'parts', 'size_only']).meta({
  description:
    'How the upload was verified: by a checksum of the whole object (`full_object`), by a checksum of each part that the store enforced (`parts`), or only by size (`size_only`).',
});
export type Verification = z.infer<typeof verificationSchema>;

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
export type UploadRecord = Opened<z.infer<typeof uploadRecordSchema>>;

/** Query of `GET /uploads`, newest first. */
export const uploadListQuerySchema = z.strictObject({
  client_id: clientIdSchema.optional(),
  status: uploadStatusSchema.optional(),
  ...pageFields,
});

export const uploadListSchema = z
  .object({ uploads: z.array(uploadRecordSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'UploadList' });
export type UploadList = Opened<z.infer<typeof uploadListSchema>>;

/**
 * Server-sent events of `GET /uploads/{upload_id}/events` and `GET /events`: `event: upload`, `data:` the upload
 * record. The stream of one upload has its version as `id:` and ends after the terminal record. The stream of all
 * uploads has the id `{change}.{upload_id}.{version}`, where `change` increases over all uploads, independent of the
 * server's clock. Records are complete, so only the newest of each upload matters, and a stream resumed with
 * `Last-Event-ID` may repeat records but skips none.
 */
export const UPLOAD_EVENT = 'upload';

/**
 * Between records the stream of one upload also has `event: progress`, without an `id:`, when only the bytes in flight
 * have changed: at most about once a second. The stream of all uploads has no such events.
 */
export const PROGRESS_EVENT = 'progress';

export const progressEventSchema = z
  .object({
    upload_id: uploadIdSchema,
    version: z.int().min(1).meta({ description: 'Version of the record to which it belongs.' }),
    bytes_in_flight: sizeBytesSchema,
  })
  .meta({ id: 'ProgressEvent' });
export type ProgressEvent = z.infer<typeof progressEventSchema>;

/** Interval of comment lines, so that proxies keep an idle stream open. */
export const EVENT_HEARTBEAT_MS = 15_000;

const objectVerdictSchema = z.enum(['intact', 'altered', 'missing']).meta({
  description:
    '`intact`: no compared value differs. `altered`: a value differs, even if only because the same bytes were written again. `missing`: there is no object at the key and, in a bucket that keeps versions, the recorded version does not exist.',
});
export type ObjectVerdict = z.infer<typeof objectVerdictSchema>;

/** State of the key of a completed upload. */
const keyStateSchema = z.enum(['recorded', 'other', 'nothing']).meta({
  description:
    '`recorded`: the object of the upload. `other`: another object or version. `nothing`: the key was deleted. With `other` and `nothing`, the recorded version is compared if the bucket still has it.',
});
export type KeyState = z.infer<typeof keyStateSchema>;

const objectCheckSchema = z
  .object({
    name: z.enum(['token', 'size', 'crc32', 'etag', 'version_id']).meta({
      description: '`token`: whether the object was created by this upload; its value is not shown.',
    }),
    ok: z
      .boolean()
      .nullable()
      .meta({ description: 'null if the store or the record has no value to compare.' }),
    expected: z
      .string()
      .nullable()
      .meta({ description: 'Value in the record. A size is in decimal digits.' }),
    found: z.string().nullable().meta({ description: 'Current value of the stored object.' }),
  })
  .meta({ id: 'ObjectCheck' });
export type ObjectCheck = z.infer<typeof objectCheckSchema>;

/** Response of `GET /uploads/{upload_id}/verification`. */
export const objectVerificationSchema = z
  .object({
    upload_id: uploadIdSchema,
    verdict: objectVerdictSchema,
    verification: verificationSchema.nullable().meta({
      description:
        'What this verification compared: a checksum of the whole object (`full_object`), an ETag of verified parts (`parts`), or only the size (`size_only`); null without an object. The bytes were not read.',
    }),
    checks: z.array(objectCheckSchema).meta({ description: 'Comparisons; empty without an object.' }),
    key_state: keyStateSchema.optional().meta({ description: 'Current state of the key.' }),
    checked_at: timestampSchema,
  })
  .meta({ id: 'ObjectVerification' });
export type ObjectVerification = Opened<z.infer<typeof objectVerificationSchema>>;
