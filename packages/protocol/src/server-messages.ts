import { z } from 'zod';
import { commands } from './commands.ts';
import {
  attemptOrFirstSchema,
  attemptSchema,
  checksumModeSchema,
  commandIdSchema,
  errorFields,
  filePathSchema,
  partChecksumsSchema,
  partNumberSchema,
  renewalIdSchema,
  sizeBytesSchema,
  timestampSchema,
  uploadIdSchema,
} from './fields.ts';
import { changePolicySchema, fingerprintSchema } from './file-version.ts';
import { MAX_WINDOW_PARTS, S3_MAX_PART_BYTES, S3_MAX_PARTS, S3_MIN_PART_BYTES } from './part-plan.ts';
import { uploadLimitsSchema } from './upload-limits.ts';

/** Response to `hello`. The session is open from now on. */
const welcomeSchema = z.object({
  action: z.literal('welcome'),
  server_version: z.string().max(64).meta({ description: 'Version of the server.' }),
  session_id: z.uuidv7().meta({ description: 'Id of this session, for the logs of both sides.' }),
  epoch: z
    .int()
    .min(1)
    .meta({ description: 'Increases with each session of this client; only the newest session is valid.' }),
  heartbeat_interval_ms: z
    .int()
    .min(1000)
    .meta({ description: 'Interval of pings from both sides, in milliseconds.' }),
  dead_after_ms: z.int().min(2000).meta({
    description: 'Close the connection and reconnect after this time without received data, in milliseconds.',
  }),
  progress_interval_ms: z.int().min(100).max(3_600_000).optional().meta({
    description:
      'Minimum interval between `progress` messages of one upload, in milliseconds. Absent from older servers, which do not support `progress`: send none.',
  }),
  uploads: z
    .array(
      z.object({
        upload_id: uploadIdSchema,
        attempt: attemptSchema,
        verdict: z.enum(['continue', 'drop']).meta({
          description:
            '`continue`: continue the upload. `drop`: stop, close the file and send no further messages about it.',
        }),
      }),
    )
    .max(1000)
    .meta({
      description:
        'Decision for each upload in `hello.running`. After `continue` the agent sends `part_uploaded` for all its finished parts again.',
    }),
});
export type Welcome = z.infer<typeof welcomeSchema>;

/**
 * State of an earlier attempt: the version of the file and the parts that S3 holds. The agent keeps no state on disk, so a
 * new process has only this information.
 */
const resumeStateSchema = z.object({
  size: sizeBytesSchema.meta({ description: 'Number of bytes of the file to send.' }),
  fingerprint: fingerprintSchema.meta({ description: 'Version of the file from which the parts were read.' }),
  kept_parts: z
    .array(
      z.object({
        part_number: partNumberSchema,
        crc32: partChecksumsSchema.shape.crc32,
        sha256: partChecksumsSchema.shape.sha256,
      }),
    )
    .max(10_000)
    .meta({
      description: 'Parts that S3 holds. The agent reads and compares them, but does not send them again.',
    }),
});
export type ResumeState = z.infer<typeof resumeStateSchema>;

/** Tells the agent to open a file and determine its size; the agent responds with `prepared` or `failed`. */
const prepareUploadSchema = z.object({
  action: z.literal('prepare_upload'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  file_path: filePathSchema,
  plan: z
    .object({
      min_chunk_size: z
        .int()
        .min(S3_MIN_PART_BYTES)
        .max(S3_MAX_PART_BYTES)
        .meta({ description: 'Minimum chunk size in bytes.' }),
      max_parts: z.int().min(1).max(S3_MAX_PARTS).meta({ description: 'Maximum number of parts.' }),
      window_size: z
        .int()
        .min(1)
        .max(MAX_WINDOW_PARTS)
        .meta({ description: 'Maximum number of parts announced in one message.' }),
      max_file_size: sizeBytesSchema
        .optional()
        .meta({ description: 'Maximum file size in bytes; a larger file is refused with `file_too_large`.' }),
    })
    .meta({ description: 'Parameters of the plan rule.' }),
  checksum_mode: checksumModeSchema,
  on_change: changePolicySchema.optional(),
  limits: uploadLimitsSchema.optional().meta({
    description:
      'Limits of the upload; the agent’s own limits also apply. Only for agents with the capability `upload_limits`.',
  }),
  resume: resumeStateSchema.optional().meta({
    description:
      'Resumes an earlier attempt; the agent responds with `resumed` instead of `prepared`. Only for agents with the capability `resume`.',
  }),
  expires_in_ms: z
    .int()
    .min(1)
    .meta({ description: 'Timeout in milliseconds: a prepared upload without `download_file` is released.' }),
});
export type PrepareUpload = z.infer<typeof prepareUploadSchema>;

/** S3 needs only a few. The agent sends all of them, so number, size and characters are limited. */
const MAX_HEADERS = 16;
const headerNameSchema = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]*$/, 'not a header name');
const headerValueSchema = z
  .string()
  .max(1024)
  .regex(/^[ -~]*$/, 'not printable ASCII');

/**
 * Presigned URL of one part. It is bound to method (PUT), key, upload, part number, length and checksum: send `headers`
 * exactly as given, with a body of exactly the announced length.
 */
const presignedPartSchema = z.object({
  part_number: partNumberSchema,
  url: z
    .url({ protocol: /^https?$/ })
    .max(16_384)
    .meta({ description: 'URL for the PUT of the part. A secret until it expires: never log its query.' }),
  headers: z
    .record(headerNameSchema, headerValueSchema)
    .refine((headers) => Object.keys(headers).length <= MAX_HEADERS, {
      message: `at most ${MAX_HEADERS} headers`,
    })
    .default({})
    .meta({
      description:
        'Signed headers; send them exactly as given. At most 16; names are tokens (RFC 9110) of at most 64 characters, values have at most 1,024 printable ASCII characters.',
    }),
});
export type PresignedPart = z.infer<typeof presignedPartSchema>;

/** All URLs of a window expire together. Agents measure `expires_in_ms` on a monotonic clock and ignore `expires_at`. */
const urlWindowFields = {
  presigned_urls: z
    .array(presignedPartSchema)
    .min(1)
    .max(64)
    .meta({ description: 'One URL for each part of the window.' }),
  expires_at: timestampSchema.meta({
    description: "Expiry of the URLs by the server's clock; informative. UTC, ISO 8601.",
  }),
  expires_in_ms: z.int().min(1).meta({
    description: 'Time until the URLs expire, in milliseconds from arrival; measure it on a monotonic clock.',
  }),
};

/** Capability of agents that support the kind `empty`. */
export const EMPTY_OBJECT_CAPABILITY = 'empty_object';

/** Starts the transfer of a prepared upload, with the URLs of its first window. */
const downloadFileSchema = z.object({
  action: z.literal('download_file'),
  file_path: filePathSchema,
  upload_config: z
    .object({
      kind: z.enum(['multipart', 'empty']).default('multipart').meta({
        description:
          'How the file is stored. `empty` (only for a file of 0 bytes and an agent with the capability `empty_object`): the server writes the object itself, and no part is sent. Refuse unknown kinds.',
      }),
      upload_id: uploadIdSchema,
      attempt: attemptOrFirstSchema,
      bucket: z.string().min(1).max(255).meta({ description: 'Informative only: the URLs are complete.' }),
      key: z.string().min(1).max(1024).meta({ description: 'Informative only.' }),
      chunk_size: z
        .int()
        .min(1)
        .meta({ description: "Same as in the agent's `prepared`; a difference is a `plan_mismatch`." }),
      part_count: z
        .int()
        .min(1)
        .max(10_000)
        .optional()
        .meta({ description: "Same as in the agent's `prepared`, if present." }),
      ...urlWindowFields,
      presigned_urls: z
        .array(presignedPartSchema)
        .max(64)
        .meta({ description: 'One for each part of the window; empty if `kind` is `empty`.' }),
    })
    .refine(({ kind, presigned_urls: urls }) => (kind === 'empty' ? urls.length === 0 : urls.length > 0), {
      path: ['presigned_urls'],
      message: 'must have at least one URL, or none if kind is empty',
    })
    .meta({ description: 'Destination of the parts.' }),
});
export type DownloadFile = z.infer<typeof downloadFileSchema>;

/** Response to `parts_ready` with one URL for each requested part. */
const partUrlsSchema = z.object({
  action: z.literal('part_urls'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  ...urlWindowFields,
});
export type PartUrls = z.infer<typeof partUrlsSchema>;

/** Cancels an upload: the agent stops, closes the file and sends no further messages about it. */
const cancelUploadSchema = z.object({
  action: z.literal('cancel_upload'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  reason: z.string().max(500).meta({ description: 'Reason, for people and the agent’s audit log.' }),
});
export type CancelUpload = z.infer<typeof cancelUploadSchema>;

/** Cancels a command that reports progress. The agent responds with the `result` of the command, as after a failure. */
const cancelCommandSchema = z.object({
  action: z.literal('cancel_command'),
  command_id: commandIdSchema,
});

/** Capability of agents that can store a renewed token; `renew_token` is sent only to them. */
export const TOKEN_RENEWAL_CAPABILITY = 'token_renewal';

/**
 * A token that replaces the token of the agent's connection. The old token remains valid until the new one is first used,
 * so losing this message or its response has no effect.
 */
const renewTokenSchema = z.object({
  action: z.literal('renew_token'),
  renewal_id: renewalIdSchema,
  token: z
    .string()
    .min(1)
    .max(8192)
    .regex(/^[A-Za-z0-9._~+/-]+=*$/)
    .meta({
      description:
        'Token for `Authorization: Bearer` of later connections. A secret: it must not appear in logs or messages.',
    }),
});

/** A frame could not be handled. The connection stays open; the agent logs the error and ends the upload or command of the frame. */
const serverErrorSchema = z.object({
  action: z.literal('error'),
  ...errorFields,
});

/** All messages from the server to an agent, distinguished by `action`. */
export const serverMessageSchema = z.discriminatedUnion('action', [
  welcomeSchema,
  prepareUploadSchema,
  downloadFileSchema,
  partUrlsSchema,
  cancelUploadSchema,
  ...Object.values(commands).map(({ message }) => message),
  cancelCommandSchema,
  renewTokenSchema,
  serverErrorSchema,
]);
export type ServerMessage = z.infer<typeof serverMessageSchema>;
/** A message before parsing: fields with defaults are optional. */
export type ServerMessageInput = z.input<typeof serverMessageSchema>;
